"""Read models as plain folds: last price, candles, orders, positions. No Kafka and no Faust in here."""
