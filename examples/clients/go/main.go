// List Servings, create one, watch it until it is Ready, and ask it: go run . NAME MODEL
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	klever "github.com/kleveross/klever/api/klever/v1alpha1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func ready(serving *klever.Serving) bool {
	for _, condition := range serving.GetStatus().GetConditions() {
		if condition.Type == "Ready" && condition.Status == "True" {
			return true
		}
	}
	return false
}

func main() {
	name, model, server := os.Args[1], os.Args[2], os.Getenv("KLEVER_SERVER")
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+os.Getenv("KLEVER_TOKEN"))
	servings := klever.NewServingServiceClient(must(grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))))

	for _, known := range must(servings.ListServings(ctx, &klever.ListServingsRequest{PageSize: 100})).Items {
		fmt.Println("known:", known.Metadata.Name, known.Status.GetPhase())
	}
	created := must(servings.CreateServing(ctx, &klever.CreateServingRequest{RequestId: "create-" + name, Serving: &klever.Serving{
		Metadata: &klever.ObjectMeta{Name: name},
		Spec:     &klever.ServingSpec{Predictors: []*klever.Predictor{{Name: "main", Model: model}}},
	}}))
	fmt.Println("created:", created.Metadata.Name)

	watch := must(servings.WatchServings(ctx, &klever.WatchServingsRequest{Namespace: "default", Filter: "metadata.name = " + name}))
	for event := must(watch.Recv()); !ready(event.Object); event = must(watch.Recv()) {
		if event.Type == klever.WatchEvent_ERROR {
			log.Fatal(event.Error.Message)
		}
	}

	body := `{"inputs": [` +
		`{"name": "X", "datatype": "FP32", "shape": [1, 5], "data": [1, 1, 1, 1, 1]},` +
		`{"name": "Y", "datatype": "FP32", "shape": [1, 5], "data": [1, 1, 1, 1, 1]}]}`
	url := fmt.Sprintf("http://%s/seldon/default/%s/v2/models/%s/infer", server, name, name)
	answer := must(http.Post(url, "application/json", strings.NewReader(body)))
	fmt.Println("answered:", string(must(io.ReadAll(answer.Body))))
}
