"""Reading masks: decisions, corrected versions, blinded reads, locks; all of it in the audit trail.

What was read is what the trail says: decisions and versions are its entries, and every state is made by
going through them. Nothing here knows of a web page.
"""
