/** The engine's text is laid only as this Weft was built with it: what comes from a disk or from assets is held to its digest. */
import { afterEach, expect, test, vi } from 'vitest';
import { readEngineFiles } from '../../src/database/engine_files.ts';

type Text = Uint8Array<ArrayBuffer>;

const read = vi.hoisted(() => ({ change: (text: Text): Text => text }));
vi.mock('#engine-text', async (original) => {
  const { readEngineText } = await original<{ readEngineText: () => Promise<Text> }>();
  return { readEngineText: async () => read.change(await readEngineText()) };
});

afterEach(() => {
  read.change = (text) => text;
});

test('the text that Weft was built with is taken', async () => {
  const { files } = await readEngineFiles();
  expect(files[0]?.name).toBe('00_schema.sql');
});

test('one that differs in a byte, or ends early, is not', async () => {
  read.change = (text) => text.with(1000, (text[1000] ?? 0) ^ 1);
  await expect(readEngineFiles()).rejects.toMatchObject({ slug: 'invalid_configuration', message: expect.stringContaining('Nothing was changed') });
  read.change = (text) => text.slice(0, -1);
  await expect(readEngineFiles()).rejects.toMatchObject({ slug: 'invalid_configuration' });
});
