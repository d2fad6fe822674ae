/** Statements in texts of about `targetChars`, each of one or more; a larger one goes alone. Their order stays. */
export function* joined(statements: Iterable<string>, targetChars: number): Generator<string> {
  let text = '';
  for (const statement of statements) {
    if (text !== '' && text.length + statement.length > targetChars) {
      yield text;
      text = '';
    }
    text = text === '' ? statement : `${text};${statement}`;
  }
  if (text !== '') yield text;
}
