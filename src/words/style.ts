/** How words are emphasised: the terminal colours them, a page marks them up, and everything else leaves them as they are. */

/** Words in colour, or the same words without. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

const same = (text: string): string => text;

export const UNCOLOURED: Style = { bold: same, dim: same, red: same, green: same, yellow: same };
