// The seconds that a text was really in view: a page in the background does not count.

export class Stopwatch {
  #seconds = 0;
  #since = null;

  constructor(signal) {
    document.addEventListener("visibilitychange", () => this.#turn(), { signal });
  }

  start() {
    this.#seconds = 0;
    this.#since = document.hidden ? null : performance.now();
  }

  get seconds() {
    const open = this.#since === null ? 0 : (performance.now() - this.#since) / 1000;
    return Math.round(1000 * (this.#seconds + open)) / 1000;
  }

  #turn() {
    this.#seconds = this.seconds;
    this.#since = document.hidden ? null : performance.now();
  }
}
