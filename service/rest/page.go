package rest

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5emb"

	"github.com/lexicam/lexicrop/api"
)

//go:embed page
var pageFiles embed.FS

// pageRoutes serve the page for a person, the API's description and its browser. Nothing on them is
// loaded from elsewhere.
func (s *Server) pageRoutes(e *echo.Echo) {
	files := echo.MustSubFS(pageFiles, "page")
	for route, file := range map[string]string{"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"} {
		e.GET(route, servePageFile(files, file))
	}
	e.GET("/openapi.yaml", func(c echo.Context) error {
		return c.Blob(http.StatusOK, "application/yaml", api.Spec)
	})
	docs := echo.WrapHandler(v5emb.New("lexicrop", "/openapi.yaml", "/docs/"))
	e.GET("/docs", docs)
	e.GET("/docs/*", docs)
}

func servePageFile(files fs.FS, name string) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		header.Set(echo.HeaderContentSecurityPolicy, "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'")
		header.Set(echo.HeaderXContentTypeOptions, "nosniff")
		header.Set(echo.HeaderCacheControl, "no-cache")
		return echo.StaticFileHandler(name, files)(c)
	}
}
