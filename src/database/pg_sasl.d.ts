/** pg's SCRAM-SHA-256, which the way in over a WebSocket borrows. Part of pg's files, not of its types. */
declare module 'pg/lib/crypto/sasl.js' {
  namespace sasl {
    interface SaslSession {
      readonly mechanism: string;
      readonly response: string;
    }
    /** @throws Error when the server offers nothing that is known here */
    function startSession(mechanisms: readonly string[], stream: false): SaslSession;
    /** @throws Error when the server does not speak RFC 5802, or the password is empty */
    function continueSession(session: SaslSession, password: string, data: string, stream: false): Promise<void>;
    /** @throws Error when the server does not know the password either */
    function finalizeSession(session: SaslSession, data: string): void;
  }
  export default sasl;
}
