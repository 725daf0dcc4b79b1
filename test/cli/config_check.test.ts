import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from './run.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-cli-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function put(name: string, content: string): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

const CONFIG = {
  origin: 'https://weft.example.com',
  targets: { shop: { database: 'SHOP_DATABASE_URL', transport: 'websocket' } },
  callers: { ci: { secrets: ['CI_SECRET'] } },
  grants: [{ caller: 'ci', targets: ['shop'], actions: ['deploy', 'read'] }],
};
const TOML = `name = "weft"
main = "worker.js"
[vars.WEFT]
origin = "https://weft.example.com"
grants = [{ caller = "ci", targets = ["shop"], actions = ["deploy", "read"] }]
[vars.WEFT.targets.shop]
database = "SHOP_DATABASE_URL"
transport = "websocket"
[vars.WEFT.callers.ci]
secrets = ["CI_SECRET"]
`;

describe('weft config check', () => {
  it('reads a JSON file with the configuration itself, or with vars', async () => {
    for (const content of [CONFIG, { vars: { WEFT: CONFIG } }, { vars: { WEFT: JSON.stringify(CONFIG) } }]) {
      // Editors of Windows put a byte order mark before it.
      const result = await run(['config', 'check', put('weft.json', `\ufeff${JSON.stringify(content)}`), '--json']);
      expect(result.code).toBe(0);
      expect(result.json()).toMatchObject({ valid: true, origin: CONFIG.origin, targets: [{ name: 'shop' }], callers: [{ name: 'ci' }] });
    }
  });

  it('reads a wrangler.toml, and a wrangler.jsonc', async () => {
    const { code, stdout } = await run(['config', 'check', put('wrangler.toml', TOML)]);
    expect(code).toBe(0);
    expect(stdout.replace(folder, '')).toMatchInlineSnapshot(`
      "Valid: /wrangler.toml, for https://weft.example.com

      targets
        shop  websocket  secret SHOP_DATABASE_URL

      callers
        ci  secrets CI_SECRET

      grants
        ci  may deploy, read  on shop
      "
    `);
    expect((await run(['config', 'check', put('wrangler.jsonc', `// a comment\n${JSON.stringify({ vars: { WEFT: CONFIG } })}`)])).code).toBe(0);
  });

  it('warns of what can never be, by its key, and ends with 0', async () => {
    const asked = { ...CONFIG, environments: { live: { second_person: true } }, targets: { shop: { ...CONFIG.targets.shop, environment: 'live' } } };
    const file = put('weft.json', JSON.stringify(asked));
    const { code, stdout } = await run(['config', 'check', file]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/what can never be\n {2}targets\.shop\.environment: "live" asks for a second person/)]);
    expect((await run(['config', 'check', file, '--json'])).json()).toMatchObject({
      valid: true,
      warnings: [expect.stringContaining('targets.shop.environment')],
    });
  });

  it('names the key that is wrong', async () => {
    const file = put('weft.json', JSON.stringify({ ...CONFIG, grants: [{ caller: 'nobody', targets: ['shop'], actions: ['deploy'] }] }));
    const result = await run(['config', 'check', file, '--json']);
    expect(result.code).toBe(2);
    expect(result.json().problem.detail).toContain('grants[0].caller');
  });

  it('says of a folder that it is one, and not what is missing in it', async () => {
    const { code, stderr } = await run(['config', 'check', folder]);
    expect([code, stderr.replace(/\s+/g, ' ')]).toEqual([2, expect.stringContaining('is a folder; name the file in it, such as wrangler.toml.')]);
  });

  it('refuses what it cannot read', async () => {
    mkdirSync(join(folder, 'folder.json'));
    const files = [
      join(folder, 'no.json'),
      join(folder, 'folder.json'),
      put('a.json', '{'),
      put('b.toml', 'a = ['),
      put('c.toml', 'name = "weft"'),
      put('d.json', '{"vars": {}}'),
    ];
    for (const file of files) {
      const result = await run(['config', 'check', file, '--json']);
      expect(result.code).toBe(2);
      expect(result.json().problem.type).toBe('urn:weft:problem:invalid_configuration');
    }
  });
});
