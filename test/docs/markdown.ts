/** A fenced block of a Markdown page. */
export interface Block {
  /** First word of the info string, e.g. `console`. */
  readonly language: string;
  /** The other words, e.g. `run`, `file=a.yaml`. */
  readonly words: readonly string[];
  readonly text: string;
  /** Line of the opening fence, 1-based. */
  readonly line: number;
}

/** A command and what the page shows of its output. */
export interface Exchange {
  readonly command: string;
  readonly shown: readonly string[];
}

/** All fenced blocks, in order. @throws when one is not closed */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: { info: string; line: number; text: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^```(.*)$/.exec(line);
    if (fence === null) open?.text.push(line);
    else if (open === undefined) open = { info: fence[1] ?? '', line: index + 1, text: [] };
    else {
      const [language = '', ...words] = open.info.trim().split(/\s+/);
      blocks.push({ language, words, text: open.text.join('\n'), line: open.line });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`the block that begins in line ${open.line} is not closed`);
  return blocks;
}

/** The value of a word NAME=VALUE in a block's info string. */
export function wordOf(block: Block, name: string): string | undefined {
  return block.words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** Takes a terminal's transcript apart: `$ COMMAND` and the lines until the next one. */
export function exchangesOf(text: string): Exchange[] {
  const exchanges: { command: string; shown: string[] }[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('$ ')) exchanges.push({ command: line.slice(2), shown: [] });
    else if (exchanges.length === 0) throw new Error(`a transcript begins with a command, not with: ${line}`);
    else exchanges.at(-1)?.shown.push(line);
  }
  return exchanges;
}

/** Texts in backticks that are not in a fenced block. */
export function codeSpansOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? '');
}

/** Targets of links to files of this repository, without their fragments. */
export function fileLinksOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => (match[1] ?? '').replace(/#.*$/, ''))
    .filter((target) => target !== '' && !/^[a-z]+:/.test(target));
}
