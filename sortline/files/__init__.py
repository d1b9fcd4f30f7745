"""One reader for every file that comes in: `sortline import`, the web's upload and `sortline enqueue`.

The way through it: `unpack` (gzip, zip) → `kinds` (what a file is, by its bytes) → `encodings` → `dialects` and
`delimited`, `json_records`, `parquet`, `workbook` (records) → `labelling_tools` or `columns` (which fields are text,
label and id) → `rows` (what is an example, and why what is refused is none). `survey` goes over the whole file once
and tells what it found before anything is stored.

Nothing is silently wrong: what is read by a guess says so, and what can't be read without doubt is refused, record by
record, with its line, the reason and what to do.
"""
