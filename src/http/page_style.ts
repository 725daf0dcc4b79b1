/**
 * How the pages for people look. They run nothing and fetch nothing: there is one style, which is in the page, and is allowed by its
 * hash.
 */
import { createHash } from 'node:crypto';

const STYLE =
  // Of the root, or the browser keeps a white page behind colours for a dark one. As wide as the longest line of an excerpt (words/text.ts), above its caret.
  ':root{color-scheme:light dark}body{max-width:66rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}p{max-width:60rem}' +
  'code,pre{font-size:.9em}pre{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.45}' +
  'table{border-collapse:collapse;display:block;overflow-x:auto}td,th{padding:.2rem 1rem .2rem 0;text-align:left;vertical-align:top}td.n,th.n{text-align:right;white-space:nowrap}' +
  'td:first-child code{white-space:nowrap}.dim{opacity:.65}.red{color:light-dark(#b00020,#ff8a8a)}.green{color:light-dark(#0a6b2d,#7ddf9b)}.yellow{color:light-dark(#8a5a00,#f0c060)}.bold{font-weight:600}' +
  // On a telephone each row is a few lines, its path first: nothing is beside the screen.
  '@media(max-width:44rem){table,tbody{display:block}tr{display:flex;flex-wrap:wrap;gap:0 1rem;padding:.3rem 0}tr:has(th),td:empty{display:none}td{padding:0}' +
  'td:has(code){flex-basis:100%;order:-1;overflow-wrap:anywhere}td:first-child code{white-space:normal}td.n:last-child::after{content:" rows"}}';

/** What the header content-security-policy says of a page. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** What stands at the beginning of a page. @param title in HTML */
export function pageHead(title: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${STYLE}</style></head>
`;
}
