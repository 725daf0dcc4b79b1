/**
 * Every limit of the doorman, named, with its unit last. A refusal names the limit it met, so that whoever reads it can
 * find it here. The engine keeps its own in `sql/30_constants.sql`.
 */
export const LIMITS = {
  /** One chunk of an artifact, which is digested, staged and acknowledged at a time; also the largest bundle that is held in memory and sent in one go. */
  chunk_bytes: 1024 * 1024,
  /** A JSON document with its files inline. */
  inline_document_bytes: 8 * 1024 * 1024,
  /** The signed request, the first entry of a tar. It names every artifact, so it grows with their number. */
  request_bytes: 8 * 1024 * 1024,
  /** How much of a refused body is read and dropped, so that the refusal reaches its sender. */
  drain_bytes: 8 * 1024 * 1024,
  /** How long a refused body is read for that. */
  drain_seconds: 30,
  /** How much one isolate holds of bodies whose sender is not proved yet; beyond that, senders are told to try again later. */
  unproved_bytes_max: 48 * 1024 * 1024,
  /** The same for one address (for IPv6, one network): the largest webhook, and a little more. */
  unproved_address_bytes_max: 26 * 1024 * 1024,
  /** How long a body may take to arrive if its sender is not proved yet. */
  unproved_seconds_max: 60,
  /** The longest `Prefer: wait` that is honoured. */
  prefer_wait_seconds_max: 300,
  /** How long the Worker stays with a deployment that it has started; the database goes on without it. */
  drive_seconds_max: 15 * 60,
  /** Sessions that deployments through one isolate of the Worker hold in one database; further ones wait. */
  sessions_per_target_max: 16,
  /** Sessions for readings: the same. */
  readings_per_target_max: 16,
  /** How long the database may work on one question of a reading. */
  reading_seconds_max: 300,
  /** Event streams that one isolate of the Worker holds open for one database, each with its own session; further clients are told to try again later. */
  followers_per_target_max: 32,
  /** How long deployments and readings wait for a session before they are let in anyway. */
  session_wait_seconds_max: 30,
  /** How long a message of the queue, or one run of the schedule, stays with a deployment: less than the 15 minutes that the platform gives them. */
  attend_seconds_max: 14 * 60,
  /** The pause before the first look at a deployment whose request was answered; doubled for each further look. */
  look_again_seconds_first: 15,
  /** The longest such pause while somebody is running it. */
  look_again_seconds_max: 60,
  /** The longest such pause while nobody can continue it: a look wakes a sleeping database. */
  look_again_waiting_seconds_max: 6 * 60 * 60,
  /** The longest such pause while its database does not answer, or refuses. */
  look_again_unreachable_seconds_max: 60 * 60,
  /** Between two looks of the queue at a webhook's deployment that waits for an approval: no Worker hears of an approval in SQL. */
  look_again_approval_seconds_max: 60 * 60,
  /** How much later than the queue the schedule looks. */
  schedule_slack_seconds: 600,
  /** Deployments that one run of the schedule looks after. */
  scheduled_looks_count_max: 50,
  /** Secret parameters as text in a message of the queue, encrypted; a message may have 128 kB. */
  sealed_characters: 120_000,
  /** How long the database may owe an answer, a CALL apart, before its connection counts as lost. */
  silence_seconds_max: 60,
  /** How long a database hears nothing from a client before it begins to ask whether the client's machine is still there. */
  tcp_probe_after_seconds: 30,
  /** The pause between two such questions. */
  tcp_probe_every_seconds: 10,
  /** How many of these go unanswered before the session is over: with the time before the first, a minute and a half. */
  tcp_probes_count: 6,
  /** How often one drive sends its CALL again after an error ended it; the engine counts these too. */
  calls_died_count_max: 20,
  /** How long one answer of server-sent events lasts; the client resumes with Last-Event-ID. */
  follow_seconds_max: 15 * 60,
  /** How often followed rows are read. */
  follow_poll_milliseconds: 500,
  /** The interval at which somebody looks why an answer does not come: a commit may wait for a standby. */
  commit_look_milliseconds: 8000,
  /** How often a comment keeps a silent stream of events alive. */
  follow_keep_alive_seconds: 15,
  /** The life of the reading token in `Location`. */
  location_token_seconds: 60 * 60,
  /** Deployments in one listing. */
  deployments_listed_count_max: 100,
  /** One artifact. */
  artifact_bytes: 1024 * 1024 * 1024,
  /** Artifacts of one bundle. */
  artifacts_count: 20_000,
  /** Files and folders that are looked at to find a bundle's files. */
  folder_entries_count: 100_000,
  /** Phases of one bundle. */
  phases_count: 100,
  /** Entries under `drift: ignore:`. */
  ignored_count: 100,
  /** A name with wildcards in such an entry. */
  pattern_characters: 200,
  /** What the braces of one glob may come to. */
  glob_alternatives_count: 1000,
  /** A path inside a bundle, in UTF-8. */
  path_bytes: 1024,
  /** An expression in a bundle file. */
  expression_characters: 10_000,
  /** The value of a setting in a bundle file. */
  setting_characters: 10_000,
  /** Parameters that one bundle declares. */
  parameters_count: 100,
  /** The value of a parameter. */
  parameter_characters: 65_536,
  /** The secrets that travel beside a request. */
  secrets_bytes: 256 * 1024,
  /** A bundle file. */
  bundle_file_bytes: 1024 * 1024,
  /** Zeros after the end of a tar: writers fill up a record, usually of 10 KiB. */
  tar_padding_bytes: 1024 * 1024,
  /** The pax headers before one entry of a tar: times and owners, which are ignored. */
  tar_pax_bytes: 64 * 1024,
  /** The body of a webhook: GitHub sends none that is larger. */
  webhook_bytes: 25 * 1024 * 1024,
  /** How long a forge has for one answer. */
  forge_seconds_max: 15,
  /** One answer of a forge's API, an archive apart. */
  forge_answer_bytes: 16 * 1024 * 1024,
  /** The longest wait that a forge may ask for before a repeated request. */
  forge_retry_seconds_max: 60 * 60,
  /** How long before its expiry a forge's token is no longer used. */
  forge_token_margin_seconds: 60,
  /** How often a change that a forge reported is tried, before it is given up because its forge or its database does not answer. */
  forge_tries_count_max: 20,
  /** What will be reported to a forge, in a message of the queue; longer reports are cut. */
  forge_account_bytes: 90_000,
  /** Pages of a hundred comments of a pull request that are searched for Weft's own. */
  forge_comment_pages_count: 10,
  /** How long an archive may take to arrive. */
  archive_seconds_max: 10 * 60,
  /** Redirects from a forge's API to its archive. */
  archive_redirects_count: 3,
  /** Entries of the archive of a repository, including those outside of the bundle's folder. */
  archive_entries_count: 1_000_000,
  /** All that an archive of a repository unpacks to; only what is under the bundle's folder is looked at. */
  archive_bytes: 4 * 1024 * 1024 * 1024,
  /** How many times as large an archive may become when it is unpacked, from `archive_ratio_bytes` on. */
  archive_ratio_max: 400,
  archive_ratio_bytes: 64 * 1024 * 1024,
  /** The largest bundle from an archive that is held in memory; a larger one is fetched again when its bytes are sent. */
  archive_held_bytes: 8 * 1024 * 1024,
  /** Files that are fetched from Azure DevOps in one zip, by their sizes in git; a larger file is fetched alone. */
  forge_batch_bytes: 8 * 1024 * 1024,
  /** The same by their number. */
  forge_batch_files_count: 1000,
  /** Files of one bundle that are fetched one by one, because they are too large for a zip, or were missing in it. */
  forge_files_alone_count: 200,
  /** Branches of one push that are deployed; others have to be pushed again. */
  push_branches_count_max: 50,
  /** How far a signature's timestamp may be from now, either way (Standard Webhooks). */
  signature_tolerance_seconds: 300,
  /** How far in the future a signed request may expire. */
  request_life_seconds_max: 24 * 60 * 60,
  /** Signatures listed with one request: a sender in rotation lists two. */
  signatures_count: 8,
  /** Bytes of a caller's secret (Standard Webhooks). */
  webhook_secret_bytes_min: 24,
  webhook_secret_bytes_max: 64,
  /** The minimum length of the secret that proves a forge's webhooks. */
  forge_secret_characters_min: 16,
  /** How deeply objects and arrays of a JSON document may be nested. */
  json_depth: 32,
  /** The longest a reading token may live. */
  read_token_seconds_max: 24 * 60 * 60,
  /** A reading token, as text. */
  read_token_characters: 2048,
  /** An identity token, as text. */
  identity_token_characters: 16_384,
  /** The longest an identity token may live, from iat to exp. */
  identity_token_seconds_max: 24 * 60 * 60,
  /** How far the clock of an issuer may be from the Worker's. */
  identity_clock_seconds: 30,
  /** One claim of an identity token, as it is kept in the database. */
  identity_evidence_characters: 512,
  /** How long an issuer's keys are used before they are fetched again. */
  identity_keys_seconds: 60 * 60,
  /** How long they are used when the issuer does not answer. */
  identity_keys_seconds_max: 24 * 60 * 60,
  /** The pause between two requests for an issuer's keys, even if tokens name unknown keys. */
  identity_keys_pause_seconds: 30,
  /** How long an issuer may take to answer. */
  identity_keys_wait_seconds: 5,
  /** The answer of an issuer. */
  identity_keys_bytes: 256 * 1024,
  /** The keys of an issuer. */
  identity_keys_count: 64,
  /** Identity tokens that one isolate remembers if the Worker has no memory. */
  identity_tokens_count_max: 10_000,
  /** The period over which requests are counted: a minute. */
  rate_seconds: 60,
  /** Unproved requests from one address in a minute, after which one isolate refuses all its requests for the rest of the minute. */
  address_refusals_count_max: 60,
  /** The same for webhooks, whose addresses all users of a forge share. */
  address_webhooks_refused_count_max: 600,
  /** Requests of one caller in a minute that one isolate accepts. */
  caller_requests_count_max: 3000,
  /** Addresses, and callers, that one isolate counts. */
  rate_keys_count_max: 10_000,
  /** Values of a JSON document: objects, arrays, texts, numbers. */
  json_values_count: 500_000,
  /** Steps of one bundle. */
  steps_count: 40_000,
  /** Secrets of all callers together: each is tried on a signature that names no caller. */
  caller_secrets_count: 64,
  /** Rows that a round of a batch may touch; the engine goes no higher, either. */
  batch_size_max: 1_000_000,
  /** The reason for forgetting a file that stopped half-way, as text. */
  why_characters: 1000,
  /** Where a batch begins, as text. */
  cursor_characters: 1000,
  /** Bytes sent to the database and not yet acknowledged. */
  staging_window_bytes: 8 * 1024 * 1024,
} as const;

export type LimitName = keyof typeof LIMITS;
