// The browser's half of human.Work: finds the number for each form that asks for one and lets the form be sent then. It wants a secure page
// (https, or this machine). Not a human test: robots do it as well, it only costs them.
"use strict";

const zeroBits = (sum) => {
  let n = 0;
  for (const byte of sum) {
    n += Math.clz32(byte) - 24;
    if (byte !== 0) break;
  }
  return n;
};

// Hashes come back by promise, so they are asked for in batches: one by one most of the time would be waiting.
const work = async (seed, bits, batch = 512) => {
  const text = new TextEncoder();
  for (let first = 0; ; first += batch) {
    const sums = await Promise.all(
      Array.from({ length: batch }, (_, i) => crypto.subtle.digest("SHA-256", text.encode(seed + (first + i)))),
    );
    const found = sums.findIndex((sum) => zeroBits(new Uint8Array(sum)) >= bits);
    if (found >= 0) return String(first + found);
  }
};

if (typeof document !== "undefined") {
  for (const form of document.querySelectorAll("form[data-work-seed]")) {
    const send = form.querySelector("[type=submit]");
    send.disabled = true;
    work(form.dataset.workSeed, Number(form.dataset.workBits)).then((n) => {
      form.elements["work"].value = n;
      send.disabled = false;
    });
  }
}
