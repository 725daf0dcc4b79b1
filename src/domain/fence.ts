/**
 * The fence of a block of code in Markdown: longer than any run of its kind in the text, so that nothing in it ends the block (CommonMark, section 4.5).
 * @param text what stands between two of them
 */
export function fenceOf(text: string): string {
  return '`'.repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([run]) => run.length + 1)));
}
