"""What every document is made of: records in, a model whose every statement names its event, and ways to show it.

1. A document is a pure function of events and of the stored records that they name by digest.
2. Each field of a form is answered, with the events that prove it, or stands in the list of open points.
3. No clock is read: the same ledger gives the same bytes. The head it was made from is named.
4. No personal text is shown; events hold only commitments to it, so an erasure changes no document.
"""
