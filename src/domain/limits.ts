/**
 * Every limit of the doorman, named, with its unit last. A refusal names the limit it met, so that whoever reads it can
 * find it here. The engine keeps its own in `sql/00_schema.sql`.
 */
export const LIMITS = {
  /** One chunk of an artifact: what is digested, staged and acknowledged at a time. */
  chunk_bytes: 1024 * 1024,
  /** A JSON document with its files inline. */
  inline_document_bytes: 8 * 1024 * 1024,
  /** The signed request, the first entry of a tar. It names every artifact, so it grows with their number. */
  request_bytes: 8 * 1024 * 1024,
  /** What is drained of a refused body, so that the refusal reaches its sender. */
  drain_bytes: 8 * 1024 * 1024,
  /** One artifact. */
  artifact_bytes: 1024 * 1024 * 1024,
  /** Artifacts of one bundle. */
  artifacts_count: 20_000,
  /** Phases of one bundle. */
  phases_count: 100,
  /** A path inside a bundle, in UTF-8. */
  path_bytes: 1024,
  /** A bundle file. */
  bundle_file_bytes: 1024 * 1024,
  /** How far a signature's timestamp may be from now, either way (Standard Webhooks). */
  signature_tolerance_seconds: 300,
  /** The longest a reading token may live. */
  read_token_seconds_max: 24 * 60 * 60,
  /** Secrets of all callers together: each is tried on a signature that names no caller. */
  caller_secrets_count: 64,
  /** Bytes under way to the database without an acknowledgement. */
  staging_window_bytes: 8 * 1024 * 1024,
  /** Bytes after which staging commits what has arrived, so that a cut keeps it. */
  staging_sync_bytes: 8 * 1024 * 1024,
} as const;

export type LimitName = keyof typeof LIMITS;
