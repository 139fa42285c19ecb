/** Checks against real peers: a line for each, exit code 1 where one fails. */
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

/** What `look` finds, once it finds something. */
export async function until(look, what) {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`It never happened: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}
