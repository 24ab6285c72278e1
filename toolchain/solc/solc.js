// The npm build of solc behind the two flags that forge, ape and slither use: --version and --standard-json.
// forge sends every source inside the JSON. ape sends those of contracts/ only: what they import from node_modules is read
// from disk, and nothing else is. Other flags (--allow-paths and the like) are ignored.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

// What solc says of itself. forge and ape ask before everything they do, and loading the compiler for it takes half a second.
const VERSION = '0.8.30+commit.73712a01.Emscripten.clang';

const ROOT = path.resolve(__dirname, '..', '..');
const MODULES = path.join(ROOT, 'node_modules') + path.sep;

function readImport(name) {
  const file = path.resolve(ROOT, name);
  if (!file.startsWith(MODULES)) return { error: 'not in node_modules' };
  try {
    return { contents: fs.readFileSync(file, 'utf8') };
  } catch (error) {
    return { error: error.message };
  }
}

// A pipe takes 64 KiB at a time, and leaving early would cut the answer: write it all, synchronously.
function writeAll(text) {
  const bytes = Buffer.from(text, 'utf8');
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += fs.writeSync(1, bytes, offset);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

const flags = process.argv.slice(2);
if (flags.includes('--version')) {
  writeAll(`solc, the solidity compiler commandline interface\nVersion: ${VERSION}\n`);
} else if (flags.includes('--standard-json')) {
  writeAll(require('solc').compile(fs.readFileSync(0, 'utf8'), { import: readImport }));
} else {
  process.stderr.write('this solc answers --version and --standard-json only\n');
  process.exitCode = 2;
}
