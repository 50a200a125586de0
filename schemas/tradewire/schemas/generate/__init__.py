"""What is made from the contract's files: Python classes, the page of events, the AsyncAPI document.

Pure functions from catalogue and topics to text. Nothing here is imported by ``tradewire.schemas``.
"""
