/**
 * What can go wrong, in one vocabulary: a problem has a type (its slug), an HTTP status, a title that never varies, an exit
 * code for the command line, and a detail that says what happened this time. RFC 9457 is how HTTP shows it; the command
 * line prints the same sentences. No detail ever holds a secret or the address of a database.
 */

interface ProblemKind {
  /** HTTP status. */
  readonly status: number;
  /** One sentence, the same every time (RFC 9457, section 3.1.3). */
  readonly title: string;
  /** 1 the deployment failed · 2 the request, the bundle or the set-up is wrong · 3 interrupted, try again or resume. */
  readonly exit: 1 | 2 | 3;
}

export const PROBLEMS = {
  // Who is asking
  unsigned: { status: 401, exit: 2, title: 'The request carries no signature.' },
  signature_mismatch: { status: 401, exit: 2, title: 'No known secret made this signature.' },
  stale: { status: 401, exit: 2, title: 'The signature is too old or too new.' },
  expired: { status: 401, exit: 2, title: 'The signed request has expired.' },
  identity_refused: { status: 401, exit: 2, title: 'The identity token is not accepted here.' },
  issuer_unreachable: { status: 503, exit: 3, title: 'The issuer of the identity token does not answer.' },
  read_token_required: { status: 401, exit: 2, title: 'Reading needs a bearer token.' },
  read_token_invalid: { status: 401, exit: 2, title: 'The bearer token is not valid here.' },
  wrong_audience: { status: 403, exit: 2, title: 'The request was signed for another Weft.' },
  wrong_target: { status: 403, exit: 2, title: 'The request was signed for another target.' },
  wrong_deployment: { status: 403, exit: 2, title: 'The request was signed for another deployment.' },
  wrong_type: { status: 403, exit: 2, title: 'The request was signed for another action.' },
  no_grant: { status: 403, exit: 2, title: 'This caller may not do this on this target.' },
  too_many_requests: { status: 429, exit: 3, title: 'Too many requests came in a short time.' },
  busy: { status: 503, exit: 3, title: 'The Worker is at its capacity.' },
  too_slow: { status: 408, exit: 3, title: 'The body of the request came too slowly.' },
  environment_rule: { status: 403, exit: 2, title: 'A rule of the environment does not allow this now.' },
  unknown_target: { status: 404, exit: 2, title: 'There is no such target.' },
  id_conflict: { status: 409, exit: 2, title: 'This id was used before, for another request.' },
  // What is asked
  not_found: { status: 404, exit: 2, title: 'There is nothing here.' },
  method_not_allowed: { status: 405, exit: 2, title: 'This address does not take that method.' },
  unsupported_media_type: { status: 415, exit: 2, title: 'This content type is not read here.' },
  too_large: { status: 413, exit: 2, title: 'Something is larger than its limit.' },
  malformed_gzip: { status: 400, exit: 2, title: 'The body is not valid gzip.' },
  malformed_tar: { status: 400, exit: 2, title: 'The body is not a valid tar stream.' },
  malformed_json: { status: 400, exit: 2, title: 'The document is not valid JSON.' },
  invalid_request: { status: 422, exit: 2, title: 'The request does not have the right form.' },
  invalid_manifest: { status: 422, exit: 2, title: 'The manifest does not have the right form.' },
  invalid_bundle: { status: 422, exit: 2, title: 'The bundle is not valid.' },
  invalid_parameters: { status: 422, exit: 2, title: 'The parameters do not fit the bundle.' },
  secret_mismatch: { status: 422, exit: 2, title: 'A secret is not the one that the request was signed with.' },
  secrets_missing: { status: 409, exit: 3, title: 'The deployment waits for its secrets.' },
  not_utf8: { status: 422, exit: 2, title: 'A file is not UTF-8 text.' },
  forbidden_entry: { status: 422, exit: 2, title: 'An entry of the tar is not a plain file with a plain name.' },
  digest_mismatch: { status: 422, exit: 2, title: 'Some bytes do not have the digest they were announced with.' },
  artifact_missing: { status: 422, exit: 2, title: 'An artifact of the manifest did not arrive.' },
  artifact_unnamed: { status: 422, exit: 2, title: 'An artifact arrived that the manifest does not name.' },
  artifact_doubled: { status: 422, exit: 2, title: 'An artifact arrived twice.' },
  artifact_out_of_order: { status: 422, exit: 2, title: 'An artifact arrived out of the order of the manifest.' },
  chunk_out_of_place: { status: 422, exit: 2, title: 'A chunk does not belong where it was put.' },
  deployment_not_found: { status: 404, exit: 2, title: 'There is no such deployment on this target.' },
  drift_not_accepted: { status: 409, exit: 2, title: 'The drift was not accepted.' },
  not_approved: { status: 409, exit: 2, title: 'The deployment was not approved.' },
  own_approval: { status: 403, exit: 2, title: 'Nobody approves what they have opened.' },
  rehearsal_missing: { status: 409, exit: 2, title: 'The deployment has to be rehearsed first.' },
  not_forgotten: { status: 409, exit: 2, title: 'Nothing was forgotten.' },
  receipt_not_found: { status: 404, exit: 2, title: 'The deployment has no such receipt.' },
  copied_database: { status: 409, exit: 2, title: 'This database is a copy of the one in which that was deployed.' },
  nothing_to_undo: { status: 409, exit: 2, title: 'There is nothing to undo.' },
  undo_out_of_order: { status: 409, exit: 2, title: 'Another deployment has to end, or to be undone, before this one.' },
  undo_secrets_missing: { status: 422, exit: 2, title: 'The undo needs secrets that it was not given.' },
  undo_ambiguous: { status: 409, exit: 2, title: 'It is not clear which deployment to undo.' },
  undo_missing: { status: 409, exit: 2, title: 'Something that would stay has no undo.' },
  deployment_over: { status: 409, exit: 2, title: 'The deployment is over.' },
  deployment_not_staged: { status: 409, exit: 3, title: 'The deployment still lacks some of its artifacts.' },
  /** Only the command line meets these two. */
  usage: { status: 400, exit: 2, title: 'The command line is wrong.' },
  set_up: { status: 400, exit: 2, title: 'Something that the command needs is missing or wrong.' },
  // What is set up
  invalid_configuration: { status: 500, exit: 2, title: 'The configuration is not valid.' },
  connection_string_invalid: { status: 500, exit: 2, title: 'The connection string of the target cannot be used.' },
  database_authentication: { status: 502, exit: 2, title: 'The database refused the role or its password.' },
  database_missing: { status: 502, exit: 2, title: 'The server has no database of that name.' },
  role_without_rights: { status: 502, exit: 2, title: 'The role may not do what Weft needs.' },
  standby_server: { status: 502, exit: 2, title: 'The database is a standby, which cannot be written to.' },
  read_only_server: { status: 502, exit: 2, title: 'The database is read-only.' },
  transaction_pooler: { status: 502, exit: 2, title: 'The connection does not keep its backend.' },
  activity_hidden: { status: 502, exit: 2, title: 'The server does not show who is at work.' },
  server_too_old: { status: 502, exit: 2, title: 'The server is older than PostgreSQL 14.' },
  engine_replicated: { status: 409, exit: 2, title: 'A subscription brings the records of another database.' },
  all_tables_published: { status: 409, exit: 2, title: 'The database publishes all of its tables, so those of the engine would be published too.' },
  engine_not_trusted: { status: 502, exit: 2, title: 'Schema weft belongs to a role that is not trusted.' },
  engine_newer: { status: 502, exit: 2, title: 'The engine in the database is newer than this Weft.' },
  engine_older: { status: 409, exit: 2, title: 'The engine in the database is older than this Weft.' },
  engine_missing: { status: 409, exit: 2, title: 'The engine is not installed in this database.' },
  forge_refused: { status: 502, exit: 2, title: 'The forge refused a request of Weft.' },
  // What happens on the way
  forge_unreachable: { status: 503, exit: 3, title: 'The forge did not answer.' },
  database_unreachable: { status: 503, exit: 3, title: 'The database could not be reached.' },
  no_free_connection: { status: 503, exit: 3, title: 'The database has no free connection.' },
  session_lost: { status: 503, exit: 3, title: 'The connection to the database was lost.' },
  worker_unreachable: { status: 503, exit: 3, title: 'The Worker could not be reached.' },
  interrupted: { status: 503, exit: 3, title: 'It was interrupted, and can be resumed or repeated.' },
  server_exhausted: { status: 503, exit: 3, title: 'The database server has no room: its disk is full, or its memory, or a limit is met.' },
  commit_held: { status: 503, exit: 3, title: 'A commit in the database waits for a synchronous standby.' },
  holder_unknown: { status: 503, exit: 3, title: 'Another role holds the lease, and this one cannot see whether that runner is alive.' },
  statement_failed: { status: 500, exit: 1, title: 'The database refused a statement.' },
  internal: { status: 500, exit: 1, title: 'Something unexpected happened in Weft.' },
} as const satisfies Record<string, ProblemKind>;

export type ProblemSlug = keyof typeof PROBLEMS;

/** Facts for programs beside the detail: path, line, byte, limit, sqlstate, … Never secrets. */
export type ProblemFacts = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export class Problem extends Error {
  override readonly name = 'Problem';
  readonly slug: ProblemSlug;
  readonly facts: ProblemFacts;

  /**
   * @param slug which problem it is
   * @param detail what happened, where, what the database looks like now, what to do; for a reader at 2 AM, without secrets
   * @param facts the same for programs
   * @param cause what was thrown below, for logs; never shown
   */
  constructor(slug: ProblemSlug, detail: string, facts: ProblemFacts = {}, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause });
    this.slug = slug;
    this.facts = facts;
  }

  get status(): number {
    return PROBLEMS[this.slug].status;
  }

  get title(): string {
    return PROBLEMS[this.slug].title;
  }

  /** Where something of a deployment has run by then, it is not over, whatever keeps others from it. */
  get exit(): 1 | 2 | 3 {
    return this.facts.begun === true ? 3 : PROBLEMS[this.slug].exit;
  }

  /** The members of an RFC 9457 document, and of the command line's `--json`. */
  toJSON(): Record<string, unknown> {
    return { ...this.facts, type: `urn:weft:problem:${this.slug}`, title: this.title, status: this.status, detail: this.message };
  }
}
