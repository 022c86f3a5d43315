/** The process of a vendor's module: what crashes or hangs in it takes nothing else along (docs/adr/0017-pkcs11.md). */
import type { FromToken, TokenCalls, ToToken } from './protocol.ts';
import { kindOf } from './faults.ts';

let token: TokenCalls | undefined;
/** An optional package: where it was not built, that is said and not a stack. */
const loaded = import('./token.ts').catch(() => { throw new Error('the optional package pkcs11js is not here: npm ci builds it where there is a C++ compiler'); });
loaded.catch(() => undefined);

process.on('message', (message: ToToken) => {
  if ('open' in message) {
    loaded.then(({ openToken }) => openToken(message.open)).then((opened) => {
      token = opened;
      tell({ opened: true });
    }, (fault: unknown) => tell({ refused: wordsOf(fault) }));
    return;
  }
  const { id, call, args } = message;
  // The parent asks only for what the protocol has.
  const work = token?.[call] as ((...given: readonly unknown[]) => Promise<unknown>) | undefined;
  Promise.resolve().then(() => work?.(...args)).then(
    (value) => tell({ id, value }),
    (fault: unknown) => tell({ id, fault: kindOf(fault), why: wordsOf(fault) }),
  );
});
process.once('disconnect', () => process.exit());

function tell(message: FromToken): void {
  process.send?.(message);
}

/** PKCS #11 faults name a CKR_ code; nothing of them is secret. */
function wordsOf(fault: unknown): string {
  return fault instanceof Error ? fault.message.split('\n')[0] ?? '' : 'no error';
}
