/** A patch of GitHub's, line by line. Pure. */

export type Line = {
  kind: 'added' | 'deleted' | 'same' | 'hunk' | 'note';
  text: string;
  /** The line's number in the new file, or in the old one where it was deleted. */
  number: number | null;
};

export function linesOf(patch: string): Line[] {
  let before = 0;
  let after = 0;
  return patch.split('\n').map((text): Line => {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(text);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      return { kind: 'hunk', text, number: null };
    }
    switch (text[0]) {
      case '+':
        return { kind: 'added', text: text.slice(1), number: after++ };
      case '-':
        return { kind: 'deleted', text: text.slice(1), number: before++ };
      case '\\': // "\ No newline at end of file"
        return { kind: 'note', text: text.slice(2), number: null };
      default:
        before += 1;
        return { kind: 'same', text: text.slice(1), number: after++ };
    }
  });
}
