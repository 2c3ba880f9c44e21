// Debian ships Vega as modules that ask for AMD's define(); this is as much of it as they need. Each is preceded by
// its name, and comes after those that it uses.
const vega = (() => {
  const made = {};
  function define(uses, factory) {
    const name = define.module;
    made[name] = {};
    factory(...uses.map((use) => (use === "exports" ? made[name] : made[use])));
  }
  define.amd = true;
