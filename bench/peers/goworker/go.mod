module lorajs/bench/peers/goworker

go 1.21
