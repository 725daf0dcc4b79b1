/** Zips as a writer of streams makes them: sizes and sums behind each file and in the directory, not in front; and each place of them to be bent. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipFile {
  readonly name: string;
  readonly content: Uint8Array;
  /** Not packed. */
  readonly stored?: boolean;
  /** Bytes unpacked, as the directory says. */
  readonly size?: number;
  readonly flags?: number;
  readonly method?: number;
  /** What comes out of its packed bytes, where that is something else. */
  readonly packed?: Uint8Array;
}

const DESCRIPTOR_FOLLOWS = 8;
const UTF_8 = 0x800;

export function makeZip(files: readonly ZipFile[], comment = ''): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, content, stored = false, size = content.length, flags = DESCRIPTOR_FOLLOWS | UTF_8, method = stored ? 0 : 8, packed } of files) {
    const bytes = Buffer.from(packed ?? (stored ? content : deflateRawSync(content)));
    const sum = crc32(content);
    const local = fields(0x04034b50, [
      [20, 2],
      [flags, 2],
      [method, 2],
      [0, 4],
      [0, 4],
      [0, 4],
      [0, 4],
      [Buffer.byteLength(name), 2],
      [0, 2],
    ]);
    const descriptor = fields(0x08074b50, [
      [sum, 4],
      [bytes.length, 4],
      [size, 4],
    ]);
    const place = at;
    for (const part of [local, Buffer.from(name), bytes, descriptor]) {
      parts.push(part);
      at += part.length;
    }
    directory.push(
      fields(0x02014b50, [
        [20, 2],
        [20, 2],
        [flags, 2],
        [method, 2],
        [0, 4],
        [sum, 4],
        [bytes.length, 4],
        [size, 4],
      ]),
      fields(null, [
        [Buffer.byteLength(name), 2],
        [0, 2],
        [0, 2],
        [0, 2],
        [0, 2],
        [0, 4],
        [place, 4],
      ]),
      Buffer.from(name),
    );
  }
  const central = Buffer.concat(directory);
  const end = fields(0x06054b50, [
    [0, 2],
    [0, 2],
    [files.length, 2],
    [files.length, 2],
    [central.length, 4],
    [at, 4],
    [Buffer.byteLength(comment), 2],
  ]);
  return Buffer.concat([...parts, central, end, Buffer.from(comment)]);
}

function fields(signature: number | null, values: readonly (readonly [value: number, bytes: 2 | 4])[]): Buffer {
  const all = signature === null ? values : ([[signature, 4], ...values] as const);
  return Buffer.concat(
    all.map(([value, bytes]) => {
      const field = Buffer.alloc(bytes);
      if (bytes === 2) field.writeUInt16LE(value);
      else field.writeUInt32LE(value);
      return field;
    }),
  );
}
