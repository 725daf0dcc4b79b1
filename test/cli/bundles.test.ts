import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { manifestSchema } from '../../src/domain/manifest.ts';
import { run } from './run.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-cli-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function put(path: string, content: string): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

const BUNDLE_FILE = `name: shop
phases:
  - name: schema
    transaction: single
    lock_timeout: 2s
    steps: [{ run: schema/*.sql }]
  - name: data
    transaction: per-step
    steps: [{ run: data/*.sql }]
`;

function putShop(): void {
  put('weft.yaml', BUNDLE_FILE);
  put('schema/001.sql', 'select 1;');
  put('schema/002.sql', 'select 22;');
  put('data/001.sql', 'select 333;');
}

describe('weft check', () => {
  it('shows phases and files in the order in which they would run', async () => {
    putShop();
    const { code, stdout, stderr } = await run(['check', folder]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatchInlineSnapshot(`
      "shop

      schema  one transaction, all or nothing; waits 2 s for a lock
         1  run  schema/001.sql  9 B
         2  run  schema/002.sql  10 B

      data  one transaction a step
         3  run  data/001.sql  11 B

      Valid: 2 phases, 3 files, 30 B.
      "
    `);
  });

  it('shows a done_when', async () => {
    const expression = 'not exists (select from orders where total is null)';
    put('weft.yaml', `name: shop\nphases:\n  - { name: totals, steps: [{ run: backfill.sql, done_when: ${expression} }] }\n`);
    put('backfill.sql', 'select 1;');
    for (const command of ['check', 'plan']) {
      expect((await run([command, folder])).stdout).toContain(`backfill.sql  9 B  done when ${expression}\n`);
      expect((await run([command, folder, '--json'])).json().phases[0].steps[0].done_when).toBe(expression);
    }
  });

  it('shows conditions, role and settings, of a phase with its rule and of a step beside it', async () => {
    put(
      'weft.yaml',
      'name: shop\nphases:\n  - { name: totals, when: 1 < 2, role: owner, settings: { work_mem: 7MB }, steps: [{ run: backfill.sql, when: exists (select from orders) }] }\n',
    );
    put('backfill.sql', 'select 1;');
    for (const command of ['check', 'plan']) {
      const { stdout } = await run([command, folder]);
      expect(stdout).toMatch(/^totals .*; when 1 < 2; as owner; work_mem = 7MB$/m);
      expect(stdout).toContain('backfill.sql  9 B  when exists (select from orders)\n');
      expect((await run([command, folder, '--json'])).json().phases[0]).toMatchObject({
        when: '1 < 2',
        role: 'owner',
        settings: { work_mem: '7MB' },
        steps: [{ when: 'exists (select from orders)' }],
      });
    }
  });

  it('writes warnings to stderr', async () => {
    put('V10.sql', 'select 1;');
    put('V2.sql', 'select 2;');
    const { code, stdout, stderr } = await run(['check', folder]);
    expect(code).toBe(0);
    expect(stderr).toContain('warning:');
    expect(stdout).not.toContain('warning:');
    expect((await run(['check', folder, '--json'])).json().warnings).toHaveLength(1);
  });

  it('refuses a bundle that is not valid, with its path', async () => {
    put('bad.sql', 'a\u0000b');
    const result = await run(['check', folder, '--json']);
    expect(result.code).toBe(2);
    expect(result.json().problem).toMatchObject({ type: 'urn:weft:problem:not_utf8', path: 'bad.sql' });
  });
});

describe('weft plan without an address', () => {
  it('shows every step and says that the history is unknown', async () => {
    putShop();
    const { code, stdout } = await run(['plan', folder]);
    expect(code).toBe(0);
    expect(stdout).toMatchInlineSnapshot(`
      "shop

      schema  one transaction, all or nothing; waits 2 s for a lock
         1  run unless applied  schema/001.sql  9 B
         2  run unless applied  schema/002.sql  10 B

      data  one transaction a step
         3  run unless applied  data/001.sql  11 B

      3 steps; history unknown: no address was given, so what is applied already is not known.
      "
    `);
  });

  it('has the manifest that would be signed, with --json', async () => {
    putShop();
    const document = (await run(['plan', folder, '--json'])).json();
    expect(document.history).toBe('unknown');
    expect(document.phases.map((phase: { name: string }) => phase.name)).toEqual(['schema', 'data']);
    expect(document.phases[0].steps[1]).toMatchObject({ number: 2, path: 'schema/002.sql', kind: 'run', verdict: 'unknown' });
    expect(manifestSchema.parse(document.manifest).artifacts).toHaveLength(3);
  });
});

describe('weft init', () => {
  it('writes a bundle that is valid', async () => {
    const fresh = join(folder, 'my shop');
    const { code, stdout } = await run(['init', fresh]);
    expect(code).toBe(0);
    expect(stdout).toContain('wrote weft.yaml\nwrote schema/001_first.sql\nwrote undo/001_first.sql\n');
    const { bundle, phases, warnings } = (await run(['check', fresh, '--json'])).json();
    expect(bundle).toBe('my-shop');
    expect(phases[0].steps).toMatchObject([{ path: 'schema/001_first.sql', step: { undo: 'undo/001_first.sql' } }]);
    expect(warnings).toEqual([]);
  });

  it('takes the SQL files that are there', async () => {
    put('b/2.sql', 'select 2;');
    put('a/1.sql', 'select 1;');
    expect((await run(['init', folder, '--name', 'shop', '--json'])).json()).toEqual({ bundle: 'shop', written: ['weft.yaml'] });
    const { phases } = (await run(['check', folder, '--json'])).json();
    expect(phases[0].steps.map((step: { path: string }) => step.path)).toEqual(['a/1.sql', 'b/2.sql']);
  });

  it('keeps the name that the folder went by, so that what was applied is known again', async () => {
    const applied = join(folder, 'Löhne & Co.');
    put('Löhne & Co./1.sql', 'select 1;');
    const before = (await run(['check', applied, '--json'])).json().bundle;
    expect((await run(['init', applied, '--json'])).json().bundle).toBe(before);
    expect((await run(['check', applied, '--json'])).json().bundle).toBe(before);
  });

  it('overwrites nothing', async () => {
    put('weft.yaml', 'mine');
    const { code, stderr } = await run(['init', folder, '--name', 'shop']);
    expect(code).toBe(2);
    expect(stderr).toContain('Nothing was overwritten');
    expect(readFileSync(join(folder, 'weft.yaml'), 'utf8')).toBe('mine');
  });

  it('says of a file that it is no folder, and not that a bundle file is there', async () => {
    put('notes', 'mine');
    put('shop/schema', 'mine');
    for (const [named, file] of [
      ['notes', 'notes'],
      ['shop', 'shop/schema'],
    ] as const) {
      const { code, stderr } = await run(['init', join(folder, named)]);
      expect([code, stderr.replace(/\s+/g, ' ')]).toEqual([2, expect.stringContaining(`${join(folder, file)} is a file; a bundle needs a folder there.`)]);
      expect(stderr).not.toContain('there already');
      expect(readFileSync(join(folder, file), 'utf8')).toBe('mine');
    }
  });

  it('refuses a name that no bundle can have', async () => {
    expect((await run(['init', folder, '--name', 'a b'])).code).toBe(2);
  });
});
