"""The one reader of incoming files: for `sortline import`, uploads to the web and `sortline enqueue`.

A file passes through `unpack` (gzip, zip) → `kinds` (what a file is, by its bytes) → `encodings` → `dialects` and
`delimited`, `json_records`, `parquet`, `workbook` (records) → `labelling_tools` or `columns` (which fields are text,
label and id) → `rows` (examples, and refused rows with the reason). `survey` reads the whole file once and reports
what it holds before anything is stored.

Nothing is wrong silently: a guess is reported as one, and a record that can't be read with certainty is refused by
itself, with its line, the reason and what to do.
"""
