/**
 * What this isolate holds for senders who are not proved yet. Most proofs need the whole body, so it has to be kept before anybody
 * knows whose it is. A platform ends an isolate at a certain size, with everything that is going on in it; so what strangers can make
 * it keep is limited, and for how long. Bodies of proved senders no longer count.
 */
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

/** A request that the platform has ended gives nothing back; but by then it would have been refused. */
const forgotten_after_milliseconds = LIMITS.unproved_seconds_max * 1000 + 5_000;

/** All that one isolate holds of them. */
export class UnprovedBytes {
  readonly #shares = new Set<Share>();
  #bytes = 0;

  /** @param address who sends, as `addressOf` has it; null where nobody says so */
  open(address: string | null): Share {
    const share: Share = {
      address,
      bytes: 0,
      since: null,
      take: (bytes) => this.#take(share, bytes),
      give: (bytes) => this.#give(share, bytes),
      close: () => this.#give(share, share.bytes),
    };
    return share;
  }

  #take(share: Share, bytes: number): void {
    if (this.#bytes + bytes > LIMITS.unproved_address_bytes_max) this.#forget();
    if (this.#bytes + bytes > LIMITS.unproved_bytes_max) throw busy('all who are not proved yet', 'unproved_bytes_max');
    if (share.address !== null && this.#bytes + bytes > LIMITS.unproved_address_bytes_max) {
      let ofAddress = bytes;
      for (const one of this.#shares) if (one.address === share.address) ofAddress += one.bytes;
      if (ofAddress > LIMITS.unproved_address_bytes_max) throw busy('your address, which is not proved yet', 'unproved_address_bytes_max');
    }
    share.since ??= Date.now();
    share.bytes += bytes;
    this.#bytes += bytes;
    this.#shares.add(share);
  }

  #give(share: Share, bytes: number): void {
    if (!this.#shares.has(share)) return;
    const given = Math.min(bytes, share.bytes);
    share.bytes -= given;
    this.#bytes -= given;
    if (share.bytes === 0) this.#shares.delete(share);
  }

  #forget(): void {
    for (const share of this.#shares) if (Date.now() - (share.since ?? 0) > forgotten_after_milliseconds) share.close();
  }
}

/** What is held for one request. */
export interface Share {
  readonly address: string | null;
  bytes: number;
  /** Milliseconds since 1970, when it first took something. */
  since: number | null;
  /** Before memory is taken. @throws Problem busy */
  take(bytes: number): void;
  give(bytes: number): void;
  /** Gives back all. */
  close(): void;
}

function busy(whose: string, limit: 'unproved_bytes_max' | 'unproved_address_bytes_max'): Problem {
  return new Problem(
    'busy',
    `So much of ${whose} is held here already, ${LIMITS[limit]} bytes (${limit}), that this body was not read to its end. No database was asked. Send the same again in a moment.`,
    { limit, limit_bytes: LIMITS[limit] },
  );
}

export function tooSlow(): Problem {
  return new Problem(
    'too_slow',
    `The body was not there after ${LIMITS.unproved_seconds_max} s (unproved_seconds_max), and until it is, nobody knows whose it is. No database was asked. Send the signed request alone first, or over a faster line.`,
    { limit: 'unproved_seconds_max' },
  );
}
