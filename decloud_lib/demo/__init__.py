"""What the demo shows: pictures, scores, a report. `pipelines.demo` runs the pipelines."""
