/** The process of a vendor's module: what crashes or hangs in it takes nothing else along (docs/adr/0017-pkcs11.md). */
import type { FromToken, TokenAnswer, TokenCalls, ToToken } from './protocol.ts';
import { kindOf } from './faults.ts';

let token: TokenCalls | undefined;
const answers: TokenAnswer[] = [];
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
  for (const { id, call, args } of message.calls) {
    // The parent asks only for what the protocol has.
    const work = token?.[call] as ((...given: readonly unknown[]) => Promise<unknown>) | undefined;
    Promise.resolve().then(() => work?.(...args)).then(
      (value) => answer({ id, value }),
      (fault: unknown) => answer({ id, fault: kindOf(fault), why: wordsOf(fault) }),
    );
  }
});
process.once('disconnect', () => process.exit());

/** What is done by the end of this turn of the loop goes in one message. */
function answer(one: TokenAnswer): void {
  if (answers.push(one) > 1) return;
  setImmediate(() => tell({ answers: answers.splice(0) }));
}

function tell(message: FromToken): void {
  process.send?.(message);
}

/** PKCS #11 faults name a CKR_ code; nothing of them is secret. */
function wordsOf(fault: unknown): string {
  return fault instanceof Error ? fault.message.split('\n')[0] ?? '' : 'no error';
}
