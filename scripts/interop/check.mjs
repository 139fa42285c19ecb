/** Runs a check against a real peer: prints a line, and sets exit code 1 if it fails. */
export const limitMs = 20_000;

export async function check(name, run) {
  let overdue;
  try {
    await Promise.race([run(), new Promise((_, reject) => {
      overdue = setTimeout(() => reject(new Error(`it took longer than ${limitMs} ms`)), limitMs);
    })]);
    console.log(`ok   ${name}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAIL ${name}: ${error.stack}`);
  } finally {
    clearTimeout(overdue);
  }
}

/** @returns the first truthy result of `look`. */
export async function until(look, what) {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`It never happened: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}
