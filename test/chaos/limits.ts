/** What waits for minutes in life waits for a second here, and no patience with bad luck ends. */
export const LIMITS = {
  directive_silence_seconds: 1,
  client_silence_seconds: 1,
  look_again_ms: 50,
  attempts_without_progress_count: 1000,
  directive_attempts_count: 1000,
};
