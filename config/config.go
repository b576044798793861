// Package config is the configuration of lexicrop: what there is to set, with
// its defaults, and how it is read from a file, the environment and flags.
//
// A key such as server.read_timeout is written as read_timeout in the section
// server of the YAML file, as LEXICROP_SERVER_READ_TIMEOUT in the environment
// and as --server-read-timeout on the command line. A flag wins over the
// environment, the environment over the file, the file over the default.
//
// The doc comments of the fields are also the comments of lexicrop.example.yaml
// and the help of the flags; `go test ./config -update` carries them over.
package config

import (
	"log/slog"
	"time"
)

// Config is the whole configuration.
type Config struct {
	// Server is the listener that answers clients.
	Server Server `key:"server"`
	// Admin is the listener for the operator: health, metrics, profiles.
	Admin Admin `key:"admin"`
	// Limits is what one request may bring and ask for at most.
	Limits Limits `key:"limits"`
	// Admission is how many requests are worked on at once, and how many may wait.
	Admission Admission `key:"admission"`
	// Triton is the server that computes the networks.
	Triton Triton `key:"triton"`
	// Models is which networks are in use.
	Models Models `key:"models"`
	// Crop is how the artwork is chosen and cut out.
	Crop Crop `key:"crop"`
	// Index is the catalogue: the works that can be found.
	Index Index `key:"index"`
	// Search is how the same work is looked for in the catalogue.
	Search Search `key:"search"`
	// Auth is who may ask, and how often.
	Auth Auth `key:"auth"`
	// Log is what is written to standard error.
	Log Log `key:"log"`

	// File is the path of the file that was read, empty for none.
	File string `key:"-"`
}

// Server is the listener that answers clients.
type Server struct {
	// Address is the address and port to listen on; without an address, on all of
	// the machine's. Default: ":8080".
	Address string `key:"address" everyday:"true" check:"listen"`
	// ReadHeaderTimeout is how long a client may take to send the headers of a
	// request. Default: 5s.
	ReadHeaderTimeout time.Duration `key:"read_header_timeout" min:"1ms" max:"1h"`
	// ReadTimeout is how long a client may take to send a whole request, body
	// included. Default: 30s.
	ReadTimeout time.Duration `key:"read_timeout" min:"1ms" max:"1h"`
	// WriteTimeout is how long it may take from the end of a request's headers
	// to the end of the answer. Default: 1m.
	WriteTimeout time.Duration `key:"write_timeout" min:"1ms" max:"1h"`
	// IdleTimeout is how long a connection without a request stays open.
	// Default: 2m.
	IdleTimeout time.Duration `key:"idle_timeout" min:"1ms" max:"24h"`
	// RequestTimeout is how long an answer may take: queueing, decoding and
	// inference together. A client asks for less with the header
	// Request-Timeout. Default: 10s.
	RequestTimeout time.Duration `key:"request_timeout" everyday:"true" min:"1ms" max:"1h"`
	// CanaryHeader is the request header that says who asks, so that the same
	// client always gets the same model, the canary or the other one. Where it is
	// missing the client's key or address counts. Default: "Lexicrop-Canary-Key".
	CanaryHeader string `key:"canary_header" check:"header"`
	// ShutdownDelay is how long requests are still taken after readiness has
	// begun to fail, so that load balancers have noticed before the listener
	// closes. Default: 0s.
	ShutdownDelay time.Duration `key:"shutdown_delay" min:"0s" max:"1h"`
	// ShutdownGrace is how long the requests under way may then take to finish.
	// Default: 20s.
	ShutdownGrace time.Duration `key:"shutdown_grace" min:"0s" max:"1h"`
}

// Admin is the listener for the operator.
type Admin struct {
	// Address is the address and port to listen on. What is served there needs no
	// key, so only those who operate the service should reach it.
	// Default: "127.0.0.1:9090".
	Address string `key:"address" everyday:"true" check:"listen"`
	// Pprof serves Go's profiles at /debug/pprof. Default: false.
	Pprof bool `key:"pprof"`
}

// Limits is what one request may bring and ask for at most.
type Limits struct {
	// MaxBodyBytes is the size of the largest request body, in bytes or with a
	// unit (KB, MB, GB; KiB, MiB, GiB). Default: 32MiB.
	MaxBodyBytes ByteSize `key:"max_body_bytes" everyday:"true" min:"1KiB" max:"1GiB"`
	// MaxPixels is width times height of the largest photo, checked before
	// anything is decoded. Decoding takes up to 3 bytes of memory a pixel.
	// Default: 100000000.
	MaxPixels int64 `key:"max_pixels" everyday:"true" min:"1" max:"4294836225"`
	// MaxSide is the longer side of the largest photo, in pixels. JPEG itself
	// ends at 65500. Default: 20000.
	MaxSide int `key:"max_side" min:"1" max:"65535"`
	// MaxDetections is how many detections a request may ask for. Default: 32.
	MaxDetections int `key:"max_detections" min:"1" max:"1000"`
	// MaxResults is how many works a search or a page of the catalogue may ask
	// for. Default: 100.
	MaxResults int `key:"max_results" min:"1" max:"1000"`
	// MaxLineBytes is the longest line of an import, which holds a work with its
	// photos. Default: 16MiB.
	MaxLineBytes ByteSize `key:"max_line_bytes" min:"1KiB" max:"1GiB"`
}

// Admission is how many requests are worked on at once, and how many may wait.
// Who finds a queue full gets status 429 at once.
type Admission struct {
	// DecodeSlots is how many pictures of ordinary size are decoded at once,
	// 0 for the number of processor cores. Default: 0.
	DecodeSlots int `key:"decode_slots" min:"0" max:"4096"`
	// DecodeQueue is how many requests may wait for their picture to be decoded.
	// Default: 64.
	DecodeQueue int `key:"decode_queue" min:"0" max:"1000000"`
	// InferSlots is how many inferences are under way at Triton at once, 0 for
	// twice the number of this machine's processor cores. A Triton with a GPU
	// wants more. Default: 0.
	InferSlots int `key:"infer_slots" min:"0" max:"4096"`
	// InferQueue is how many requests may wait for their inference. Default: 128.
	InferQueue int `key:"infer_queue" min:"0" max:"1000000"`
	// RetryAfter is what a client that is sent away is told to wait, rounded up
	// to whole seconds. Default: 1s.
	RetryAfter time.Duration `key:"retry_after" min:"1s" max:"1h"`
}

// Triton is the server that computes the networks.
type Triton struct {
	// Address is the host:port of Triton's gRPC endpoint. All addresses of the
	// host name are used in turn. Empty starts a Triton on this machine, see
	// triton.local. Default: "".
	Address string `key:"address" everyday:"true" check:"dial"`
	// LoadTimeout is how long Triton may take to load a model. Default: 5m.
	LoadTimeout time.Duration `key:"load_timeout" min:"1s" max:"24h"`
	// Headers is a list of "name: value" to send with every call; in the
	// environment and in a flag they are separated by commas. Triton's restricted
	// protocols want "triton-grpc-protocol-NAME: KEY". The values are secret.
	// Default: [].
	Headers Headers `key:"headers"`
	// TLS encrypts the connection to a Triton elsewhere.
	TLS TLS `key:"tls"`
	// Local is the Triton that is started on this machine when address is empty.
	Local Local `key:"local"`
}

// TLS encrypts the connection to a Triton elsewhere.
type TLS struct {
	// Enabled turns TLS on. Default: false.
	Enabled bool `key:"enabled"`
	// CAFile is a PEM file with the authorities that may have signed the
	// server's certificate, empty for those of the system. Default: "".
	CAFile string `key:"ca_file"`
	// CertFile is a PEM file with the client certificate to show, empty for
	// none. Default: "".
	CertFile string `key:"cert_file"`
	// KeyFile is the PEM file with the private key of cert_file. Default: "".
	KeyFile string `key:"key_file"`
	// ServerName is the name that the server's certificate must carry, empty for
	// the host of the address. Default: "".
	ServerName string `key:"server_name"`
}

// Local is the Triton that is started on this machine.
type Local struct {
	// Install is the folder that triton/local/setup.sh has made.
	// Default: "build/triton".
	Install string `key:"install" check:"nonempty"`
	// Repository is the folder of the models. Default: "modelrepo/models".
	Repository string `key:"repository" everyday:"true" check:"nonempty"`
	// Profile is the hardware profile to use, configs/PROFILE.pbtxt of a
	// model; empty for its config.pbtxt. Default: "".
	Profile string `key:"profile" check:"name"`
	// Instances is how many copies of each network run side by side, 0 for the
	// number of processor cores. Default: 0.
	Instances int `key:"instances" min:"0" max:"1024"`
	// Arguments is a list of more arguments for tritonserver, such as
	// "--log-verbose=1"; in the environment and in a flag they are separated by
	// commas. Default: [].
	Arguments []string `key:"arguments"`
}

// Models is which networks are in use. What changes in this section of the file
// is applied while requests run, at once or on SIGHUP; other sections want a
// restart.
type Models struct {
	// Detector is the network that finds the artwork.
	Detector Model `key:"detector"`
	// Embedder is the network that makes a vector of a work.
	Embedder EmbedderModel `key:"embedder"`
	// UnloadAfter is how long a model that was swapped out stays loaded: for other
	// instances of this service at the same Triton that were not told yet, and for
	// a quick way back. It takes memory meanwhile. Default: 2m.
	UnloadAfter time.Duration `key:"unload_after" min:"0s" max:"24h"`
}

// EmbedderModel names a model in Triton's repository, or none.
type EmbedderModel struct {
	// Name is the model's folder in the repository, empty for none: then nothing
	// is embedded or searched. From none to one and back wants a restart.
	// Default: "embedder".
	Name string `key:"name" everyday:"true" check:"name"`
	// Version is the one to use, empty for the newest. Default: "".
	Version string `key:"version" check:"version"`
	// Shadow is a model that is asked beside and compared, and answers nobody.
	Shadow OtherModel `key:"shadow"`
}

// Model names a model in Triton's repository.
type Model struct {
	// Name is the model's folder in the repository. Default: "detector".
	Name string `key:"name" everyday:"true" check:"model"`
	// Version is the one to use, empty for the newest. Default: "".
	Version string `key:"version" check:"version"`
	// Canary is a model that answers a share of the requests.
	Canary Canary `key:"canary"`
	// Shadow is a model that is asked beside and compared, and answers nobody.
	Shadow OtherModel `key:"shadow"`
}

// Canary is a model that answers a share of the requests. The same client gets
// the same model, see server.canary_header.
type Canary struct {
	// Name is the model's folder in the repository, empty for none. Default: "".
	Name string `key:"name" check:"name"`
	// Version is the one to use, empty for the newest. Default: "".
	Version string `key:"version" check:"version"`
	// Percent is its share of the requests, 0 to 100. Default: 0.
	Percent float64 `key:"percent" min:"0" max:"100"`
}

// OtherModel names a model in Triton's repository, or none.
type OtherModel struct {
	// Name is the model's folder in the repository, empty for none. Default: "".
	Name string `key:"name" check:"name"`
	// Version is the one to use, empty for the newest. Default: "".
	Version string `key:"version" check:"version"`
}

// Fallback says what the crop is when no artwork is found.
type Fallback string

// The values of Fallback.
const (
	FallbackNone Fallback = "none" // there is no crop
	FallbackFull Fallback = "full" // the whole photo is the crop
)

// Crop is how the artwork is chosen and cut out. Requests may ask for other
// values of detections, min_score, padding and jpeg_quality.
type Crop struct {
	// Detections is how many works are returned at most. Default: 1.
	Detections int `key:"detections" everyday:"true" min:"1" max:"1000"`
	// MinScore leaves out works of a lower score, 0 to 1. Default: 0.4.
	MinScore float64 `key:"min_score" everyday:"true" min:"0" max:"1"`
	// Padding widens the crop on each side by this share of the box's width and
	// height, 0 to 1. Default: 0.
	Padding float64 `key:"padding" everyday:"true" min:"0" max:"1"`
	// NMSIoU is the overlap (intersection over union, 0 to 1) from which two
	// boxes count as the same work. Default: 0.5.
	NMSIoU float64 `key:"nms_iou" min:"0" max:"1"`
	// RefineBelow is the share of the photo's area, 0 to 1, below which a work is
	// looked at a second time, from close by; 0 never does. Default: 0.25.
	RefineBelow float64 `key:"refine_below" min:"0" max:"1"`
	// Fallback is the crop when no artwork is found: none, or the full photo.
	// Default: none.
	Fallback Fallback `key:"fallback" oneof:"none full"`
	// JPEGQuality is the quality of a crop that is returned as a JPEG, 1 to 100.
	// Default: 90.
	JPEGQuality int `key:"jpeg_quality" min:"1" max:"100"`
}

// StoreKind says what keeps the catalogue.
type StoreKind string

// The values of StoreKind.
const (
	StoreNone     StoreKind = "none"     // nothing: vectors are made, not searched
	StoreSQLite   StoreKind = "sqlite"   // a file of this process
	StorePostgres StoreKind = "postgres" // a PostgreSQL with pgvector, which several processes can share
	StoreWeaviate StoreKind = "weaviate" // a Weaviate, which several processes can share
)

// Index is the catalogue: the works that can be found.
type Index struct {
	// Store is what keeps the catalogue: none, sqlite (a file that one process
	// has to itself), postgres (a PostgreSQL with pgvector) or weaviate (a
	// Weaviate cluster). There is a catalogue only where an embedder is
	// configured. Default: sqlite.
	Store StoreKind `key:"store" everyday:"true" oneof:"none sqlite postgres weaviate"`
	// Path is the file of an sqlite store; it is made when it is not there.
	// Default: "catalogue.db".
	Path string `key:"path" everyday:"true" check:"nonempty"`
	// DSN is how a postgres store is reached, such as
	// "postgres://user:password@host/database". It is secret. Default: "".
	DSN Secret `key:"dsn"`
	// Weaviate is how a weaviate store is reached.
	Weaviate Weaviate `key:"weaviate"`
	// KeepCrops keeps a small JPEG of every photo as it was embedded: it can be
	// shown, and embedded again by another network. Default: true.
	KeepCrops bool `key:"keep_crops"`
	// CropSide is the longer side of these pictures in pixels. Their vectors are
	// made of them: twice what the embedder sees is enough. Default: 448.
	CropSide int `key:"crop_side" min:"32" max:"1024"`
}

// Weaviate is how a weaviate store is reached.
type Weaviate struct {
	// URL is where the server is, such as "https://weaviate:8080". Default: "".
	URL string `key:"url" check:"url"`
	// APIKey is the key that the server asks for, empty where it asks for none.
	// It is secret. Default: "".
	APIKey Secret `key:"api_key"`
	// Collection has the catalogue; it is made when it is not there. A name
	// begins with a capital letter. Default: "Lexicrop".
	Collection string `key:"collection" check:"collection"`
	// Replicas is how many nodes of the cluster keep every photo of a catalogue
	// that is made. Default: 1.
	Replicas int `key:"replicas" min:"1" max:"100"`
	// CAFile is a PEM file with the authorities that may have signed the
	// server's certificate, empty for those of the system. Default: "".
	CAFile string `key:"ca_file"`
	// Timeout is the longest that one request to the server may take.
	// Default: 1m.
	Timeout time.Duration `key:"timeout" min:"1ms" max:"1h"`
}

// Search is how the same work is looked for in the catalogue. Requests may ask
// for other values of limit, threshold and photos.
type Search struct {
	// Limit is how many works are answered at most. Default: 10.
	Limit int `key:"limit" everyday:"true" min:"1" max:"1000"`
	// Threshold leaves out works of a lower similarity (cosine, -1 to 1); -1
	// leaves out none. Default: -1.
	Threshold float64 `key:"threshold" everyday:"true" min:"-1" max:"1"`
	// Photos is how many photos of each work are answered at most, its most
	// similar ones. Default: 3.
	Photos int `key:"photos" min:"1" max:"1000"`
	// MinArea is the share of the photo's area, 0 to 1, below which the work that
	// was found is not trusted: the whole photo is searched. Default: 0.08.
	MinArea float64 `key:"min_area" min:"0" max:"1"`
	// MaxArea is the share above which the work fills the photo: the whole photo
	// is searched. Default: 0.95.
	MaxArea float64 `key:"max_area" min:"0" max:"1"`
}

// Auth is who may ask, and how often. Requests show their key as
// "Authorization: Bearer KEY" or "X-API-Key: KEY". The page, /docs and
// /openapi.yaml are open to all.
type Auth struct {
	// Keys is a list of the keys of clients, each of 16 characters or more; in the
	// environment and in a flag they are separated by commas. Without any, no key
	// is asked for. They are secret. Default: [].
	Keys Secrets `key:"keys"`
	// WriteKeys is a list of more keys, which alone may then change the catalogue.
	// Without any, everyone who may ask may change it, too. They are secret.
	// Default: [].
	WriteKeys Secrets `key:"write_keys"`
	// Rate is how many requests a second a key, or without keys an address, may
	// make in the long run; 0 for any number. Default: 0.
	Rate float64 `key:"rate" min:"0" max:"1000000"`
	// Burst is how many may come at once. Default: 20.
	Burst int `key:"burst" min:"1" max:"1000000"`
}

// LogFormat is the form of a log line.
type LogFormat string

// The values of LogFormat.
const (
	LogText LogFormat = "text" // key=value, for people
	LogJSON LogFormat = "json" // an object a line, for collectors
)

// Log is what is written to standard error.
type Log struct {
	// Level is the least severe level that is written: debug, info, warn or
	// error. Default: info.
	Level slog.Level `key:"level" everyday:"true" oneof:"debug info warn error"`
	// Format is how a line is written: as text (key=value) or as json.
	// Default: text.
	Format LogFormat `key:"format" everyday:"true" oneof:"text json"`
}

// DefaultMinScore is the score from which a detection counts as an artwork,
// unless the configuration or the request says otherwise. With the shipped
// detector it keeps all labelled validation photos and rejects most empty walls.
const DefaultMinScore = 0.4

// What similarities mean depends on the embedder: these are for the shipped one, and new weights may
// want others. docs/catalogue.md names them, and says how they were measured.
const (
	// SuggestedThreshold is the similarity (search.threshold) from which a match is hardly ever a wrong
	// work.
	SuggestedThreshold = 0.5
	// SimilarWorks is the similarity from which two pictures of the catalogue are worth a look: they may
	// show one work.
	SimilarWorks = 0.7
)

// Default is the configuration of someone who sets nothing.
func Default() *Config {
	return &Config{
		Server: Server{
			Address:           ":8080",
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       30 * time.Second,
			WriteTimeout:      60 * time.Second,
			IdleTimeout:       120 * time.Second,
			RequestTimeout:    10 * time.Second,
			ShutdownGrace:     20 * time.Second,
			CanaryHeader:      "Lexicrop-Canary-Key",
		},
		Admin:     Admin{Address: "127.0.0.1:9090"},
		Limits:    Limits{MaxBodyBytes: 32 << 20, MaxPixels: 100_000_000, MaxSide: 20_000, MaxDetections: 32, MaxResults: 100, MaxLineBytes: 16 << 20},
		Admission: Admission{DecodeQueue: 64, InferQueue: 128, RetryAfter: time.Second},
		Triton: Triton{
			LoadTimeout: 5 * time.Minute,
			Local:       Local{Install: "build/triton", Repository: "modelrepo/models"},
		},
		Models: Models{Detector: Model{Name: "detector"}, Embedder: EmbedderModel{Name: "embedder"}, UnloadAfter: 2 * time.Minute},
		Crop:   Crop{Detections: 1, MinScore: DefaultMinScore, NMSIoU: 0.5, RefineBelow: 0.25, Fallback: FallbackNone, JPEGQuality: 90},
		Index: Index{Store: StoreSQLite, Path: "catalogue.db", KeepCrops: true, CropSide: 448,
			Weaviate: Weaviate{Collection: "Lexicrop", Replicas: 1, Timeout: time.Minute}},
		Search: Search{Limit: 10, Threshold: -1, Photos: 3, MinArea: 0.08, MaxArea: 0.95},
		Auth:   Auth{Burst: 20},
		Log:    Log{Level: slog.LevelInfo, Format: LogText},
	}
}
