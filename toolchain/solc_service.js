// The npm build of solc, loaded once: one standard JSON input a line, one output a line, until the input ends.
// Loading it costs more than compiling one contract, and the mutation driver compiles hundreds.
'use strict';

const readline = require('node:readline');
const solc = require('solc');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(JSON.stringify(JSON.parse(solc.compile(line))) + '\n');
});
