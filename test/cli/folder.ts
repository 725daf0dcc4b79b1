/** Folders of SQL files for a test, gone when it is over. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** @param files contents by path; a bundle called "shop" unless weft.yaml is among them */
export function makeFolder(files: Readonly<Record<string, string | Uint8Array>>): string {
  const parent = mkdtempSync(join(tmpdir(), 'weft-cli-'));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  const folder = join(parent, 'shop');
  mkdirSync(folder);
  putFiles(folder, files);
  return folder;
}

export function putFiles(folder: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}

/** One phase with all files, under one rule. */
export function bundleFile(transaction: 'single' | 'per-step'): string {
  return `name: shop\nphases:\n  - name: main\n    transaction: ${transaction}\n    steps: [{ run: "*.sql" }]\n`;
}
