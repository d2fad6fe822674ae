const URL_IN_TEXT = /\bhttps?:\/\/[^\s'"<>]+/gi;

/** The text with the secrets of its URLs (user info, query, fragment) left out: signed URLs must not reach users' error messages. */
export function redactUrls(text: string): string {
  return text.replace(URL_IN_TEXT, (found) => {
    try {
      const url = new URL(found);
      return `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?…'}`;
    } catch {
      return '(URL)';
    }
  });
}
