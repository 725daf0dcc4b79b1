/**
 * The documentation as something to run: finds fenced blocks and the mark in the line above each. A mark is a comment that readers do not
 * see: `test: name` for what a test runs, `output: name` for what a test compares with what came out, `not run: reason` for the rest.
 */
import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHECKOUT } from '../../src/dev/places.ts';

export interface Snippet {
  readonly file: string;
  /** Of its first line of text, counted from 1. */
  readonly line: number;
  readonly language: string;
  readonly mark: 'test' | 'output' | 'not run' | null;
  /** What stands behind the colon of the mark. */
  readonly name: string;
  readonly text: string;
}

/** The pages that people read, as paths from the checkout. */
export const PAGES: readonly string[] = [...globSync('*.md', { cwd: CHECKOUT }), ...globSync('docs/*.md', { cwd: CHECKOUT })].sort();

export function readPage(file: string): string {
  return readFileSync(join(CHECKOUT, file), 'utf8');
}

/** Every fenced block of a page, in order. */
export function snippetsOf(file: string): Snippet[] {
  const found: Snippet[] = [];
  const lines = readPage(file).split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const language = /^```(\w*)$/.exec(lines[at] ?? '')?.[1];
    if (language === undefined) continue;
    const [, mark = null, name = ''] = /^<!-- (test|output|not run): (.+) -->$/.exec(lines[at - 1] ?? '') ?? [];
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`${file}:${at + 1}: this block does not end`);
    found.push({ file, line: at + 2, language, mark: mark as Snippet['mark'], name, text: `${lines.slice(at + 1, end).join('\n')}\n` });
    at = end;
  }
  return found;
}

/** The one block of a page with this mark and name. */
export function snippet(file: string, name: string, mark: 'test' | 'output' = 'test'): string {
  const [only, ...others] = snippetsOf(file).filter((one) => one.mark === mark && one.name === name);
  if (only === undefined || others.length > 0) throw new Error(`${file} must have one block marked "${mark}: ${name}"`);
  return only.text;
}

/** A folder in which commands of the documentation work as in a checkout, and leave nothing in the real one. */
export function makeWorkplace(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'weft-readme-'));
  for (const entry of readdirSync(CHECKOUT)) {
    if (!entry.startsWith('.') && entry !== 'dist') symlinkSync(join(CHECKOUT, entry), join(path, entry));
  }
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, as they came. */
  readonly all: string;
}

/**
 * Runs a block as printed. It fails at its first failing line.
 * @param o.env what it finds in its environment beside PATH and HOME: nothing of ours slips in
 * @param o.words what stands behind it, as $1, $2, …
 */
export function runShell(text: string, o: { cwd: string; env?: Readonly<Record<string, string>>; path?: string; words?: readonly string[] }): Promise<Outcome> {
  const { PATH = '', HOME = '' } = process.env;
  const env = { PATH: o.path ?? PATH, HOME, NO_COLOR: '1', CI: '1', WRANGLER_SEND_METRICS: 'false', npm_config_loglevel: 'error', ...o.env };
  const child = spawn('bash', ['-euo', 'pipefail', '-c', text, 'bash', ...(o.words ?? [])], { cwd: o.cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '', all: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (part: string) => {
      output[name] += part;
      output.all += part;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...output }));
  });
}

/** What differs from run to run, and from machine to machine, made the same; and white space that lines columns up. */
export function withoutChance(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID')
    .replace(/\b1:\d+:[0-9a-f]+…?/g, 'FINGERPRINT')
    .replace(/whsec_[A-Za-z0-9+/=…]+/g, 'SECRET')
    .replace(/developer:[^@\s]+@/g, 'developer:PASSWORD@')
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/^(The data +)\S+/gm, '$1FOLDER')
    .replace(/(?:\d+ min )?\d+(?:\.\d+)? m?s\b/g, 'TIME')
    .replace(/^ ?\d+:\d\d /gm, 'M:SS ')
    .replace(/[ \t]+/g, ' ');
}
