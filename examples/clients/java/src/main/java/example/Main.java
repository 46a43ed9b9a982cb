package example;

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import io.kleveross.klever.v1alpha1.*;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** List Servings, create one, watch it until it is Ready, and ask it: java -cp 'target/classes:target/lib/*' example.Main NAME MODEL */
class Main {
  static boolean isReady(Serving serving) {
    return serving.getStatus().getConditionsList().stream()
        .anyMatch(condition -> condition.getType().equals("Ready") && condition.getStatus().equals("True"));
  }

  public static void main(String[] arguments) throws Exception {
    String name = arguments[0], model = arguments[1], server = System.getenv("KLEVER_SERVER");
    var token = new Metadata();
    token.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + System.getenv("KLEVER_TOKEN"));
    var channel = Grpc.newChannelBuilder(server, InsecureChannelCredentials.create()).build();
    var servings = ServingServiceGrpc.newBlockingStub(channel).withInterceptors(MetadataUtils.newAttachHeadersInterceptor(token));

    for (var known : servings.listServings(ListServingsRequest.newBuilder().setPageSize(100).build()).getItemsList())
      System.out.println("known: " + known.getMetadata().getName() + " " + known.getStatus().getPhase());

    var request = CreateServingRequest.newBuilder().setRequestId("create-" + name);
    request.getServingBuilder().getMetadataBuilder().setName(name);
    request.getServingBuilder().getSpecBuilder().addPredictorsBuilder().setName("main").setModel(model);
    System.out.println("created: " + servings.createServing(request.build()).getMetadata().getName());

    var events = servings.watchServings(
        WatchServingsRequest.newBuilder().setNamespace("default").setFilter("metadata.name = " + name).build());
    for (var event = events.next(); !isReady(event.getObject()); event = events.next())
      if (event.getType() == WatchEvent.Type.ERROR) throw new IllegalStateException(event.getError().getMessage());

    String tensor = "\", \"datatype\": \"FP32\", \"shape\": [1, 5], \"data\": [1, 1, 1, 1, 1]}";
    var body = "{\"inputs\": [{\"name\": \"X" + tensor + ", {\"name\": \"Y" + tensor + "]}";
    var uri = URI.create("http://" + server + "/seldon/default/" + name + "/v2/models/" + name + "/infer");
    var asked = HttpRequest.newBuilder(uri).POST(HttpRequest.BodyPublishers.ofString(body)).build();
    System.out.println("answered: " + HttpClient.newHttpClient().send(asked, BodyHandlers.ofString()).body());
    channel.shutdownNow();
  }
}
