"""The review as pages for people without the server: one a participant, a contact sheet, and a PDF."""
