// Checks a proof file's merkle path with the public @openzeppelin/merkle-tree package: exit status 0 if it holds, 1 if not.
import { readFileSync } from "node:fs";
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";

const file = process.argv[2];
if (!file) {
  console.error("usage: node demo/verify_openzeppelin.mjs PROOF.json");
  process.exit(2);
}
const { header, leaf, proof } = JSON.parse(readFileSync(file, "utf8"));
const held = StandardMerkleTree.verify(header.ordersRoot, ["uint64", "bytes32"], leaf, proof);
console.log(held ? "ok" : "FAILED");
process.exit(held ? 0 : 1);
