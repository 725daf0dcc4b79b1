/**
 * What Ctrl-C means: the first asks to leave in order, a second one leaves at once. Who is asked, and how it leaves, is up to the
 * command.
 */

/** npm and the launcher pass a terminal's Ctrl-C on to a process that had it already: signals this close are one. */
const SAME_KEYSTROKE_MS = 400;

/**
 * @param leave aborted by the first signal
 * @param exit called for a second one
 * @param now milliseconds since 1970
 * @returns what is to be called for each signal
 */
export function onSignal(leave: AbortController, exit: (code: number) => void, now: () => number): () => void {
  let firstMs = 0;
  return () => {
    if (!leave.signal.aborted) {
      firstMs = now();
      leave.abort();
    } else if (now() - firstMs > SAME_KEYSTROKE_MS) {
      exit(3);
    }
  };
}
