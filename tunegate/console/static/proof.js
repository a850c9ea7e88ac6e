// Checks, in the reader's browser and from the bytes alone, that an event is in a signed tree:
// RFC 6962 leaf hash, RFC 9162 (2.1.3.2) inclusion path, C2SP checkpoint, and its Ed25519 signature where the browser knows it.
"use strict";

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const raw = (text) => Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
const plain = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

async function sha256(...parts) {
  const joined = new Uint8Array(await new Blob(parts).arrayBuffer());
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
}

async function rootFrom(leaf, seq, size, path) {
  let node = seq, last = size - 1, hash = leaf;
  for (const step of path) {
    if (last === 0) throw new Error("the path is too long");
    if (node % 2 === 1 || node === last) {
      hash = await sha256(Uint8Array.of(1), step, hash);
      while (node % 2 === 0 && node !== 0) { node = Math.floor(node / 2); last = Math.floor(last / 2); }
    } else {
      hash = await sha256(Uint8Array.of(1), hash, step);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  if (last !== 0) throw new Error("the path is too short");
  return hash;
}

async function isSigned(note, key) {
  const cut = note.lastIndexOf("\n\n"), body = new TextEncoder().encode(note.slice(0, cut + 1));
  const publicKey = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  for (const line of note.slice(cut + 2).trimEnd().split("\n")) {
    const name = line.split(" ")[1], signed = plain(line.split(" ")[2]);
    const claim = await sha256(new TextEncoder().encode(name + "\n"), Uint8Array.of(1), key);
    if (hex(claim.slice(0, 4)) === hex(signed.slice(0, 4))) {
      return crypto.subtle.verify({ name: "Ed25519" }, publicKey, signed.slice(4), body);
    }
  }
  return false;
}

async function check(proof) {
  const leaf = await sha256(Uint8Array.of(0), new TextEncoder().encode(proof.bytes));
  const root = hex(await rootFrom(leaf, proof.seq, proof.size, proof.path.map(raw)));
  const lines = proof.note.split("\n");
  if (Number(lines[1]) !== proof.size) return [false, "the signed tree has another size than the proof"];
  if (root !== hex(plain(lines[2]))) return [false, "the event's bytes do not lead to the signed root"];
  try {
    if (!(await isSigned(proof.note, raw(proof.key)))) return [false, "the tree head is not signed by this key"];
  } catch (error) {
    if (error.name !== "NotSupportedError") throw error;
    return [true, "your browser hashed the event and reached the signed root; it can't check Ed25519 signatures itself"];
  }
  return [true, "your browser hashed the event, reached the root and checked the signature"];
}

const data = document.getElementById("proof-data"), told = document.getElementById("checked");
if (data && told && window.crypto && crypto.subtle) {
  check(JSON.parse(data.textContent))
    .catch((error) => [false, error.message])
    .then(([good, words]) => {
      const mark = document.createElement("span");
      mark.className = good ? "outcome pass" : "outcome fail";
      mark.textContent = good ? "checked here" : "not proved";
      told.replaceChildren(mark, ` ${words}.`);
    });
}
