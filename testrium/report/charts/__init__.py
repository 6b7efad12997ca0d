"""Charts of a report: where each line and word lies; templates only draw them."""
