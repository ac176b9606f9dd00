module lorajs/bench/peers/things

go 1.22

require (
	go.thethings.network/lorawan-stack/v3 v3.32.1
	lorajs/bench/peers/goworker v0.0.0
)

replace lorajs/bench/peers/goworker => ../goworker
