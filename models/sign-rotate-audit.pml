/*
 * Sign, Rotate, Audit and Checkpoint, with crashes anywhere: what of them must hold in every order of steps.
 * Names in [brackets] are the steps as the code has them; docs/models.md says where. Checked exhaustively:
 *   spin -a sign-rotate-audit.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
 * PLANT breaks one of the rules on purpose: each has to be found.
 */

#ifndef SIGNS
#define SIGNS 2
#endif
#ifndef ROTATES
#define ROTATES 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif

#define ENTRIES 12

/* What an entry says: signed by version v; rotation to v begun; rotation to v done; rotation to v not done. */
mtype = { SIGNED, INTENT, DONE, UNDONE };

/* On the disk: survives a crash. */
byte diskVersion = 1;          /* the store's current version of the one key; one flushed transaction each */
byte diskSize = 0;             /* entries of the log that are flushed */
mtype diskKind[ENTRIES];
byte diskAbout[ENTRIES];
byte diskCheckpoint = 0;       /* the size that the newest flushed checkpoint covers */

/* In memory: gone with a crash. */
byte waiting = 0;              /* entries written behind diskSize that no flush covers yet */
bool isUp = true;
bool isStopping = false;
byte epoch = 0;                /* counts starts: who belongs to one of before is gone */

/* What clients were told: nothing can take it back. */
byte toldVersion = 1;          /* the highest version that an answered rotation gave */
byte toldSize = 0;             /* the log must hold at least so many entries: those of all answers */
byte servedCheckpoint = 0;
byte signs = 0;
byte rotates = 0;
byte crashes = 0;

#define SIZE (diskSize + waiting)

/* [append]: the entry has its index the moment it joins the group; its writer waits for the flush. */
inline append(kind, about, index) {
  assert(SIZE < ENTRIES);
  index = SIZE;
  diskKind[index] = kind;
  diskAbout[index] = about;
  waiting++;
}

/* [flush]: one write and one flush for the whole group. */
active proctype Flusher() {
  do
  :: atomic { isUp && waiting > 0 -> diskSize = diskSize + waiting; waiting = 0 }
  :: atomic { !isUp -> skip; (isUp) }
  :: atomic { isStopping && waiting == 0 -> break }
  od
}

/* [sign]: the current version is read, custody signs, the version is looked at again, the entry is flushed, the answer leaves. */
active [SIGNS] proctype Signer() {
  byte version; byte index; byte mine;
  mine = epoch;
  atomic { isUp && !isStopping && mine == epoch -> version = diskVersion } /* [authorise] */
  if
  :: atomic { isUp && mine == epoch -> append(SIGNED, version, index) }    /* [custody, append] */
  :: atomic { mine != epoch -> goto gone }
  fi;
#if PLANT != 1
  if
  :: atomic { isUp && mine == epoch && diskSize > index }                  /* flushed */
  :: atomic { mine != epoch -> goto gone }
  fi;
#endif
  atomic {
    mine == epoch ->
    /* The answer leaves: its entry is on the disk, and is this one. */
    assert(diskSize > index && diskKind[index] == SIGNED && diskAbout[index] == version);
    assert(version <= diskVersion);
    if :: index + 1 > toldSize -> toldSize = index + 1 :: else fi;
    signs++
  }
gone:
  skip
}

bit rotating = 0;

/* [mutate]: one at a time for a key: intent flushed, the store commits, outcome flushed, the answer leaves. */
active [ROTATES] proctype Rotator() {
  byte next; byte index; byte mine;
  mine = epoch;
  atomic { isUp && !isStopping && mine == epoch && rotating == 0 -> rotating = 1; next = diskVersion + 1; append(INTENT, next, index) }
#if PLANT != 2
  if
  :: atomic { isUp && mine == epoch && diskSize > index }
  :: atomic { mine != epoch -> goto gone }
  fi;
#endif
  /* [commit]: one transaction, flushed. */
  if
  :: atomic { isUp && mine == epoch -> assert(diskSize > index); diskVersion = next }
  :: atomic { mine != epoch -> goto gone }
  fi;
  if
  :: atomic { isUp && mine == epoch -> append(DONE, next, index) }
  :: atomic { mine != epoch -> goto gone }
  fi;
  if
  :: atomic { isUp && mine == epoch && diskSize > index -> rotating = 0 }
  :: atomic { mine != epoch -> goto gone }
  fi;
  atomic {
    mine == epoch ->
    assert(diskKind[index] == DONE && diskVersion >= next);
    if :: next > toldVersion -> toldVersion = next :: else fi;
    if :: index + 1 > toldSize -> toldSize = index + 1 :: else fi;
    rotates++
  }
gone:
  skip
}

/* [checkpoint]: over flushed entries only, and itself flushed before it is served. */
active proctype Checkpointer() {
  byte size; byte mine;
  do
  :: atomic { isUp && !isStopping -> mine = epoch;
#if PLANT == 3
       size = SIZE
#else
       size = diskSize
#endif
     };
     if
     :: atomic { isUp && mine == epoch -> assert(size <= diskSize); if :: size > diskCheckpoint -> diskCheckpoint = size :: else fi }
     :: atomic { mine != epoch }
     fi;
     if
     :: atomic { isUp && mine == epoch -> assert(diskCheckpoint >= servedCheckpoint); servedCheckpoint = diskCheckpoint }
     :: atomic { mine != epoch }
     fi
  :: atomic { isStopping && waiting == 0 -> diskCheckpoint = diskSize; servedCheckpoint = diskSize; break }  /* [final checkpoint] */
  od
}

/* [recover, settle]: what was not flushed may be there or not, as a prefix; open intents get their outcome by what the store holds. */
inline restart() {
  byte at; byte open; byte kept;
  /* Of the group that was under way a part may have reached the disk. */
  kept = 0;
  do
  :: kept < waiting -> kept++
  :: break
  od;
  diskSize = diskSize + kept;
  waiting = 0;
  epoch++;
  rotating = 0;
  /* Nothing that was told is missing. */
  assert(diskSize >= toldSize);
  assert(diskVersion >= toldVersion);
  assert(diskCheckpoint <= diskSize);
  at = 0; open = 0;
  do
  :: at < diskSize ->
     if
     :: diskKind[at] == INTENT -> assert(open == 0); open = diskAbout[at]
     :: (diskKind[at] == DONE || diskKind[at] == UNDONE) -> assert(open == diskAbout[at]); open = 0
     :: else
     fi;
     at++
  :: else -> break
  od;
  if
  :: open != 0 ->
     assert(diskSize < ENTRIES);
     diskAbout[diskSize] = open;
     if
     :: diskVersion >= open -> diskKind[diskSize] = DONE
     :: else -> diskKind[diskSize] = UNDONE
     fi;
     diskSize++
  :: else
  fi;
  /* A change of the store that no intent in the log tells of is a roll-back of the log, or worse. */
  at = 0; kept = 1;
  do
  :: at < diskSize -> if :: diskKind[at] == DONE -> assert(diskAbout[at] == kept + 1); kept = diskAbout[at] :: else fi; at++
  :: else -> break
  od;
  assert(kept == diskVersion);
  at = 0; open = 0; kept = 0
}

active proctype World() {
  do
  :: atomic { crashes < CRASHES && !isStopping -> crashes++; isUp = false; restart(); isUp = true }
  :: atomic { !isStopping -> isStopping = true }     /* [drain]: no more comes in */
  :: atomic { isStopping -> break }
  od
}
