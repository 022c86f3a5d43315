// Plain JavaScript on purpose: it has to say its line on the old Node that it warns of.
const major = Number(process.versions.node.split('.')[0]);
if (major < 26) {
  console.error(`The tests need Node 26, and this is ${process.version}. npm ci brings it along (optional dependencies must not be left out); run them through npm test.`);
  process.exit(1);
}
