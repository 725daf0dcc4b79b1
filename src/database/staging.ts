/**
 * Staging: chunks become messages, many small ones in one, and each message is a transaction of its own. So a cut keeps what has
 * arrived; and an upload whose client has gone without a word leaves no transaction open behind which the next one would wait
 * for the same chunks. How many are under way is the session's business; which chunks are wanted, the drive's.
 */
import { LIMITS } from '../domain/limits.ts';
import type { Message } from './session.ts';

interface Part {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** Chunks in one message: beyond this the parameter lists, not the bytes, would be what is heavy. */
const parts_count_max = 2000;

/**
 * @param id the deployment
 * @param chunks each with its digest; taken one at a time
 * @returns the messages for `session.pipeline`; the last one makes the deployment staged if nothing is missing
 */
export async function* stagingMessages(id: string, chunks: Iterable<Part> | AsyncIterable<Part>): AsyncGenerator<Message> {
  let parts: Part[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    if (parts.length > 0 && (bytes + chunk.bytes.length > LIMITS.chunk_bytes || parts.length === parts_count_max)) {
      yield stageMessage(id, parts, false);
      yield { kind: 'sync' };
      parts = [];
      bytes = 0;
    }
    parts.push(chunk);
    bytes += chunk.bytes.length;
  }
  yield stageMessage(id, parts, true);
  yield { kind: 'sync' };
}

function stageMessage(id: string, parts: readonly Part[], isLast: boolean): Message {
  const [only] = parts;
  const content = parts.length === 1 && only !== undefined ? only.bytes : join(parts);
  return {
    kind: 'statement',
    text: 'select weft.stage($1::pg_catalog.uuid, $2::pg_catalog.text[], $3::integer[], $4::pg_catalog.bytea, $5::boolean)',
    values: [id, `{${parts.map((part) => part.digest).join(',')}}`, `{${parts.map((part) => part.bytes.length).join(',')}}`, content, String(isLast)],
  };
}

function join(parts: readonly Part[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.bytes.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part.bytes, offset);
    offset += part.bytes.length;
  }
  return joined;
}
