/**
 * Counts requests, and renders the metrics for Prometheus (text exposition format 0.0.4).
 * @module
 */

/** One answered request. */
export interface Observation {
  readonly method: string;
  /** The pattern of the route, not the address: `/jobs/:id`. */
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
}

/** A value that is read when the metrics are rendered. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly read: () => number;
}

/** Upper bounds in seconds. */
const buckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];

interface Series {
  readonly method: string;
  readonly status: number;
  readonly labels: string;
  readonly counts: number[];
  count: number;
  sumSeconds: number;
}

export class Metrics {
  /** By path, as each path has few series. */
  readonly #series = new Map<string, Series[]>();

  observe(observation: Observation): void {
    const series = this.#seriesOf(observation);
    const seconds = observation.durationMs / 1000;
    series.count += 1;
    series.sumSeconds += seconds;
    const bucket = buckets.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
  }

  #seriesOf({ method, path, status }: Observation): Series {
    const ofPath = this.#series.get(path);
    const known = ofPath?.find((series) => series.status === status && series.method === method);
    if (known) return known;
    const labels = `method="${method}",path="${path}",status="${status}"`;
    const series: Series = { method, status, labels, counts: buckets.map(() => 0), count: 0, sumSeconds: 0 };
    if (ofPath) ofPath.push(series);
    else this.#series.set(path, [series]);
    return series;
  }

  /** All metrics as text; the gauges first. */
  render(gauges: readonly Gauge[]): string {
    return [...gauges.flatMap(renderGauge), ...this.#renderRequests()].join('\n') + '\n';
  }

  #renderRequests(): string[] {
    const name = 'sidecar_http_request_duration_seconds';
    const lines = [`# HELP ${name} Time to the end of the answer.`, `# TYPE ${name} histogram`];
    for (const { labels, counts, count, sumSeconds } of [...this.#series.values()].flat()) {
      let below = 0;
      buckets.forEach((bound, index) => {
        below += counts[index] ?? 0;
        lines.push(`${name}_bucket{${labels},le="${bound}"} ${below}`);
      });
      lines.push(
        `${name}_bucket{${labels},le="+Inf"} ${count}`,
        `${name}_sum{${labels}} ${sumSeconds}`,
        `${name}_count{${labels}} ${count}`,
      );
    }
    return lines;
  }
}

function renderGauge({ name, help, read }: Gauge): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${read()}`];
}
