/**
 * A session that stays, for making and dropping databases: to sign in takes longer than many a statement. Nobody waits for its end.
 */
import pg from 'pg';

export interface Keeper {
  run(statement: string): Promise<void>;
}

const keepers = new Map<string, Keeper>();

/** The one at this address; it comes back when its session was ended. */
export function keeper(url: string): Keeper {
  let found = keepers.get(url);
  if (found === undefined) {
    found = makeKeeper(url);
    keepers.set(url, found);
  }
  return found;
}

function makeKeeper(url: string): Keeper {
  let client: Promise<pg.Client> | null = null;
  const connect = async (): Promise<pg.Client> => {
    const made = new pg.Client({ connectionString: url, application_name: 'the keeper' });
    const forget = () => {
      client = null;
    };
    made.on('error', forget).on('end', forget);
    await made.connect().catch((error: unknown) => {
      forget();
      throw error;
    });
    return made;
  };
  return {
    run: async (statement) => {
      client ??= connect();
      await (await client).query(statement);
    },
  };
}
