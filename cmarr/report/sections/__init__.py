"""The sections of the report page, one module each: results in, a `cmarr.report.page.Section` out."""
