"""Event types as classes, one module per domain: ``backtest``, ``flow``, ``flows``, ``market``, ``model``,
``patterns``, ``readmodel``, ``reference``, ``risk``, ``setup``, ``strategy``, ``system``, ``trading``. Made by
`tradewire schemas generate-types`; do not edit.
"""
